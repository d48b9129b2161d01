import { homedir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { resolveDirectories } from '../../src/config/directories.js';

describe('resolveDirectories', () => {
  it.each<[string, NodeJS.ProcessEnv, [string, string, string]]>([
    [
      'below the home directory',
      { HOME: '/home/ada' },
      ['/home/ada/.config/hpcrun', '/home/ada/.local/state/hpcrun', '/home/ada/.cache/hpcrun'],
    ],
    [
      'where XDG says',
      { HOME: '/home/ada', XDG_CONFIG_HOME: '/c', XDG_STATE_HOME: '/s', XDG_CACHE_HOME: '/big/cache' },
      ['/c/hpcrun', '/s/hpcrun', '/big/cache/hpcrun'],
    ],
    [
      'not where XDG says something relative or nothing',
      { HOME: '/home/ada', XDG_CONFIG_HOME: 'c', XDG_STATE_HOME: '', XDG_CACHE_HOME: './x' },
      ['/home/ada/.config/hpcrun', '/home/ada/.local/state/hpcrun', '/home/ada/.cache/hpcrun'],
    ],
    [
      'below the home directory of the account if HOME is not set',
      {},
      [`${homedir()}/.config/hpcrun`, `${homedir()}/.local/state/hpcrun`, `${homedir()}/.cache/hpcrun`],
    ],
  ])('%s', (_, env, [config, state, cache]) => {
    expect(resolveDirectories(env)).toEqual({ config, state, cache });
  });
});
