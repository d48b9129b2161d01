import { describe, expect, it } from 'vitest';
import { resolveLocalBinds } from '../../src/run/local-binds.js';
import { failureOf } from '../support/failure.js';

const env = { HOME: '/home/mia', DATA: '/big' };
const everything = () => true;

describe('resolveLocalBinds', () => {
  it.each([
    ['~/data', '/home/mia/data'],
    ['$DATA/x', '/big/x'],
    ['${DATA}x', '/bigx'],
    ['/plain~/a', '/plain~/a'],
  ])('expands %s here', (source, expected) => {
    const [bind] = resolveLocalBinds([{ source, target: '/data', readonly: true }], env, everything);
    expect(bind).toEqual({ source: expected, target: '/data', readonly: true });
  });

  it('takes the last bind for a target, so that a local path can stand in for one of the cluster', () => {
    const binds = [
      { source: '$HPCWORK/data', target: '/data', readonly: true },
      { source: '/here', target: '/data', readonly: false },
    ];
    expect(resolveLocalBinds(binds, env, everything)).toEqual([{ source: '/here', target: '/data', readonly: false }]);
  });

  it('names all sources that are not here', async () => {
    const binds = [
      { source: '$HPCWORK/data', target: '/data', readonly: true },
      { source: '/gone', target: '/models', readonly: false },
      { source: '/there', target: '/x', readonly: false },
    ];
    const { code, message, hint } = await failureOf(() => resolveLocalBinds(binds, env, (path) => path === '/there'));
    expect(code).toBe('BIND_SOURCE_MISSING');
    expect(message).toMatch(/^\$HPCWORK\/data,.*\/data.*\n\/gone,.*\/models.*machine$/);
    expect(hint).toContain('-v "$PWD/sample:/data:ro"');
  });
});
