import { execa } from 'execa';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hpcrun, loginContainer, makeProject, onLogin, sandboxCluster } from './lab.js';

interface Pushed {
  parts: { sha256: string; sizeBytes: number; uploaded: boolean; sentBytes: number }[];
}

const root = '/home/researcher/pushed';
let project: string;

async function build(tag: string, dockerfile: string): Promise<void> {
  const context = await makeProject({ Dockerfile: dockerfile });
  await execa('docker', ['build', '--tag', tag, context]);
}

async function push(cluster: string, image: string, ...options: string[]): Promise<Pushed['parts'][number]> {
  const result = await hpcrun(['push', '--json', '--cluster', cluster, ...options, image], { cwd: project });
  expect(result.stderr).not.toMatch(/error|Warning/);
  const [part] = (result.objects[0] as unknown as Pushed).parts;
  if (!part) throw new Error('nothing was pushed');
  return part;
}

async function removeRoot(): Promise<void> {
  await onLogin(`chmod -R u+w ${root} 2>/dev/null; rm -rf ${root}`);
}

describe('hpcrun push', () => {
  let sshd: Promise<unknown>;

  beforeAll(async () => {
    const { port, identityFile, knownHostsFile } = await sandboxCluster();
    const plain = { user: 'researcher', identityFile, root, overlays: false, compression: 'zstd' };
    // A second server in the same place, which allows one session for each connection.
    sshd = execa('docker', ['exec', loginContainer, '/usr/sbin/sshd', '-D', '-p', '2222', '-o', 'MaxSessions=1'], {
      reject: false,
    });
    const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
    const { stdout: address } = await execa('docker', ['inspect', '--format', format, loginContainer]);
    project = await makeProject({ 'script.sh': 'true\n' });
    const crowded = join(project, 'known_hosts');
    const known = await readFile(knownHostsFile, 'utf8');
    await writeFile(crowded, known.replaceAll(/^\[127\.0\.0\.1\]:\d+/gm, `[${address}]:2222`));
    const clusters = {
      wide: { ...plain, host: '127.0.0.1', port, knownHostsFile },
      narrow: { ...plain, host: address, port: 2222, knownHostsFile: crowded },
    };
    await writeFile(join(project, 'hpcrun.yaml'), JSON.stringify({ cluster: 'wide', clusters }));
    await build(
      'hpcrun-test/pushed:1',
      'FROM debian:trixie-slim\nRUN head -c 60000000 /dev/urandom >/opt/data && echo one >/opt/line\n',
    );
    await build('hpcrun-test/pushed:2', 'FROM hpcrun-test/pushed:1\nRUN echo two >/opt/line\n');
    await removeRoot();
  });

  afterAll(async () => {
    // The brackets keep the pattern from matching the shell that it stands in.
    await onLogin("pkill -f '[s]shd.*-p 2222' || true", 'root');
    await sshd;
    await execa('docker', ['rmi', 'hpcrun-test/pushed:2', 'hpcrun-test/pushed:1'], { reject: false });
    await removeRoot();
  });

  it('sends an image, then nothing, then what differs', async () => {
    const first = await push('wide', 'hpcrun-test/pushed:1');
    expect(first).toMatchObject({ uploaded: true, sentBytes: first.sizeBytes });
    expect(await push('wide', 'hpcrun-test/pushed:1')).toMatchObject({ uploaded: false, sentBytes: 0 });
    const second = await push('wide', 'hpcrun-test/pushed:2');
    expect(second.sentBytes).toBeGreaterThan(0);
    expect(second.sentBytes).toBeLessThan(first.sizeBytes / 50);
    for (const { sha256 } of [first, second]) {
      expect(await onLogin(`sha256sum <${root}/images/${sha256}.sif`)).toContain(sha256);
    }
    expect(await onLogin(`cat ${root}/images/${second.sha256}.json`)).toContain('"name":"hpcrun-test/pushed:2"');
    expect(await onLogin(`find ${root}/images -mindepth 1 -name '.*'`)).toBe('');
  });

  it('finds a base that another laptop has sent, by the chunk index on the cluster', async () => {
    await onLogin(`rm -f ${root}/images/*.sif`);
    const cold = { XDG_CACHE_HOME: join(project, 'another-cache') };
    const send = async (image: string) => {
      const result = await hpcrun(['push', '--json', image], { cwd: project, env: cold });
      return (result.objects[0] as unknown as Pushed).parts[0];
    };
    const base = await push('wide', 'hpcrun-test/pushed:1');
    expect(base.uploaded).toBe(true);
    expect((await send('hpcrun-test/pushed:2'))?.sentBytes).toBeLessThan(base.sizeBytes / 50);
  });

  it('takes its time where a server allows one session for each connection', async () => {
    await removeRoot();
    const pushed = await push('narrow', 'hpcrun-test/pushed:1');
    expect(pushed).toMatchObject({ uploaded: true });
    expect(await onLogin(`sha256sum <${root}/images/${pushed.sha256}.sif`)).toContain(pushed.sha256);
  });

  it('refuses a rate that is none', async () => {
    const result = await hpcrun(['push', '--bwlimit', 'fast', 'any.sif'], { cwd: project });
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain('--bwlimit "fast" is not a rate');
  });
});
