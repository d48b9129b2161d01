import { execa } from 'execa';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageDirectory } from '../src/package-directory.js';

const sandboxName = 'hpcrun-bench';
export const loginContainer = `${sandboxName}-login`;
export const hpcrunPath = join(packageDirectory(), 'bin', 'hpcrun.js');
export const farHome = '/home/researcher';

/** How the sandbox is reached, by hpcrun and by others. */
export interface Access {
  port: number;
  identityFile: string;
  knownHostsFile: string;
}

/** Variables that keep a bench's own sandbox, configuration and cache apart from the user's. */
export function benchEnvironment(directory: string): Record<string, string> {
  return {
    HPCRUN_SANDBOX_NAME: sandboxName,
    XDG_STATE_HOME: join(directory, 'state'),
    XDG_CONFIG_HOME: join(directory, 'config'),
    XDG_CACHE_HOME: join(directory, 'cache'),
    CI: '1',
  };
}

/** Runs `work` with a sandbox of the bench's own. `directory` holds what hpcrun keeps on this machine. */
export async function withSandbox(directory: string, work: () => Promise<void>): Promise<void> {
  const options = { env: benchEnvironment(directory), stdout: 'ignore', stderr: 'inherit' } as const;
  await execa('node', [hpcrunPath, 'sandbox', 'up', '--install-engine'], options);
  try {
    await work();
  } finally {
    await execa('node', [hpcrunPath, 'sandbox', 'down', '--keep-images'], options);
  }
}

export async function sandboxAccess(directory: string): Promise<Access> {
  const file = join(directory, 'state', 'hpcrun', 'sandboxes', sandboxName, 'cluster.json');
  return JSON.parse(await readFile(file, 'utf8')) as Access;
}

/** The same sandbox behind a proxy at another port. */
export async function accessThrough(access: Access, port: number): Promise<Access> {
  const knownHosts = await readFile(access.knownHostsFile, 'utf8');
  const knownHostsFile = `${access.knownHostsFile}-${port}`;
  await writeFile(knownHostsFile, knownHosts.replace(/^\S+/gm, `[127.0.0.1]:${port}`));
  return { ...access, port, knownHostsFile };
}

export type Clusters = Record<
  string,
  { access: Access; root: string; overlays: boolean; transport?: 'ssh2' | 'openssh' }
>;

/** Writes the user's configuration: the sandbox under several names, each with a root of its own. */
export async function configureClusters(directory: string, clusters: Clusters): Promise<void> {
  const entries = Object.entries(clusters).map(([name, { access, root, overlays, transport }]) => {
    const { port, identityFile, knownHostsFile } = access;
    const host = { host: '127.0.0.1', user: 'researcher', port, identityFile, knownHostsFile };
    return [name, { ...host, transport, root, overlays, compression: 'zstd', pollSeconds: 2 }] as const;
  });
  const configuration = join(directory, 'config', 'hpcrun');
  await mkdir(configuration, { recursive: true });
  await writeFile(join(configuration, 'config.yaml'), JSON.stringify({ clusters: Object.fromEntries(entries) }));
}

/** Runs a shell script in the login container as the cluster's user. */
export async function onLogin(script: string): Promise<string> {
  const { stdout } = await execa('docker', ['exec', '--user', 'researcher', loginContainer, 'sh', '-c', script]);
  return stdout;
}

export async function removeFar(path: string): Promise<void> {
  await onLogin(`chmod -R u+w ${path} 2>/dev/null; rm -rf ${path}`);
}

/** Bytes that went in and out of the login container since it started, as its network interface counts them. */
export async function wireBytes(): Promise<number> {
  const counters = await onLogin('cd /sys/class/net/eth0/statistics && cat rx_bytes tx_bytes');
  return counters.split('\n').reduce((sum, line) => sum + Number(line), 0);
}
