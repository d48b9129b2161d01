import { execa } from 'execa';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { binPath, makeProject, sandboxCluster } from './lab.js';

/** Runs `hpcrun status` on a terminal of its own (script, util-linux) and answers the question about the host key. */
async function answer(text: string): Promise<{ output: string; exitCode: number | undefined; known: string }> {
  const { port, identityFile } = await sandboxCluster();
  const project = await makeProject({ known_hosts: '' });
  const knownHostsFile = join(project, 'known_hosts');
  const config = { clusters: { other: { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile } } };
  await execa('tee', [join(project, 'hpcrun.yaml')], { input: JSON.stringify(config) });
  const child = execa('script', ['-qec', `node ${binPath} status --cluster other`, '/dev/null'], {
    cwd: project,
    env: { ...inject('labEnvironment'), TERM: 'dumb' },
    all: true,
    reject: false,
    stdin: 'pipe',
  });
  let seen = '';
  child.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString();
    if (!seen.includes('(yes/no)') || child.stdin.writableEnded) return;
    child.stdin.end(`${text}\n`);
  });
  const { exitCode } = await child;
  return { output: seen, exitCode, known: await readFile(knownHostsFile, 'utf8') };
}

describe('an unknown host key in a terminal', () => {
  it('is shown, and stored when the user says yes', async () => {
    const { output, exitCode, known } = await answer('yes');
    expect(output).toMatch(/SHA256:[\w+/]{43}/);
    expect(exitCode).toBe(0);
    expect(known).toMatch(/^\[127\.0\.0\.1\]:\d+ ssh-ed25519 \S+\n$/);
  });

  it('is refused and not stored when the user says anything else', async () => {
    const { exitCode, known, output } = await answer('no');
    expect(output).toContain('HOST_KEY_UNKNOWN');
    expect(exitCode).toBe(5);
    expect(known).toBe('');
  });
});
