import { execa } from 'execa';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeProject, sandboxCluster } from './lab.js';
import { useSshConfig } from './ssh-config-file.js';
import { typeInto } from './typing.js';

interface Outcome {
  output: string;
  exitCode: number | undefined;
  known: string;
  /** What `ssh-keygen -F` finds of the host. */
  found: string;
}

/** Runs `hpcrun status` and answers the question about the host key. */
async function answer(text: string, sshConfig: string): Promise<Outcome> {
  const { port, identityFile } = await sandboxCluster();
  const project = await makeProject({ known_hosts: '' });
  const knownHostsFile = join(project, 'known_hosts');
  const config = { clusters: { other: { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile } } };
  await writeFile(join(project, 'hpcrun.yaml'), JSON.stringify(config));
  const { output, exitCode } = await typeInto(['status', '--cluster', 'other'], {
    cwd: project,
    env: await useSshConfig(project, sshConfig),
    reactions: [['(yes/no)', text]],
  });
  const lookUp = ['-f', knownHostsFile, '-F', `[127.0.0.1]:${port}`];
  const { stdout } = await execa('ssh-keygen', lookUp, { reject: false });
  return { output, exitCode, known: await readFile(knownHostsFile, 'utf8'), found: stdout };
}

describe('an unknown host key in a terminal', () => {
  it.each([
    ['by name', 'HashKnownHosts no', /^\[127\.0\.0\.1\]:\d+ ssh-ed25519 \S+\n$/],
    ['hashed where the SSH configuration says so', 'HashKnownHosts yes', /^\|1\|\S+=\|\S+= ssh-ed25519 \S+\n$/],
  ])('is shown, and stored %s when the user says yes', async (_, sshConfig, line) => {
    const { output, exitCode, known, found } = await answer('yes', sshConfig);
    expect(output).toMatch(/SHA256:[\w+/]{43}/);
    expect(exitCode, output).toBe(0);
    expect(known).toMatch(line);
    expect(found).toContain('ssh-ed25519');
  });

  it('is refused and not stored when the user says anything else', async () => {
    const { exitCode, known, output } = await answer('no', '');
    expect(output).toContain('HOST_KEY_UNKNOWN');
    expect(exitCode).toBe(5);
    expect(known).toBe('');
  });
});
