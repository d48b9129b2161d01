import { execa } from 'execa';
import { wireBytes, type Access } from './sandbox.js';

/** What one copy by another program took. */
export interface RivalResult {
  seconds: number;
  wireBytes: number;
}

// The cipher hpcrun takes where both sides have it.
export function sshOptions({ port, identityFile, knownHostsFile }: Access): string[] {
  const settings = [`Port=${port}`, `UserKnownHostsFile=${knownHostsFile}`, 'BatchMode=yes', 'Compression=no'];
  return [
    ...['-F', 'none', '-i', identityFile, '-c', 'aes128-gcm@openssh.com'],
    ...settings.flatMap((setting) => ['-o', setting]),
  ];
}

/** A path on the far side, as scp and rsync write it. */
export function far(path: string): string {
  return `researcher@127.0.0.1:${path}`;
}

export async function scp(access: Access, source: string, target: string): Promise<RivalResult> {
  return await measureCopy('scp', ['-q', ...sshOptions(access), source, target]);
}

/** `rsync -a`, for one file or, with a slash behind the source, a tree. */
export async function rsync(access: Access, source: string, target: string): Promise<RivalResult> {
  return await measureCopy('rsync', ['-a', '-e', ['ssh', ...sshOptions(access)].join(' '), source, target]);
}

async function measureCopy(program: string, args: string[]): Promise<RivalResult> {
  await execa('sync');
  const before = await wireBytes();
  const startedAt = performance.now();
  await execa(program, args);
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, wireBytes: (await wireBytes()) - before };
}
