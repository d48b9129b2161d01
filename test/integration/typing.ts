import { execa } from 'execa';
import { inject } from 'vitest';
import { binPath } from './lab.js';

/** What a person does when a terminal shows these words, each once and in this order. */
export type Reaction = [words: string, types: string | (() => string)];

interface Typing {
  cwd: string;
  env?: Record<string, string>;
  reactions: Reaction[];
}

/** Runs hpcrun on a terminal of its own (script, util-linux) with somebody who types; `output` is what that person sees. */
export async function typeInto(args: string[], { cwd, env, reactions }: Typing) {
  const child = execa('script', ['-qec', ['node', binPath, ...args].join(' '), '/dev/null'], {
    cwd,
    env: { ...inject('labEnvironment'), ...env, TERM: 'dumb' },
    all: true,
    reject: false,
    stdin: 'pipe',
  });
  const left = [...reactions];
  let output = '';
  let unread = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    unread += chunk.toString();
    const [words, types] = left[0] ?? [];
    if (words === undefined || types === undefined || !unread.includes(words)) return;
    left.shift();
    unread = unread.slice(unread.indexOf(words) + words.length);
    child.stdin.write(`${typeof types === 'string' ? types : types()}\n`);
  });
  const { exitCode } = await child;
  return { exitCode, output, unasked: left.map(([words]) => words) };
}
