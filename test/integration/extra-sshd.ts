import { execa } from 'execa';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { quoteAll } from '../../src/ssh/quote.js';
import { loginContainer, makeProject, onLogin, sandboxCluster } from './lab.js';

/** An sshd of its own in the login container, with other rules than the sandbox's, as a target of `openConnection`. */
export interface ExtraSshd {
  target: {
    host: string;
    port: number;
    user: string;
    identityFile: string;
    knownHostsFile: string;
    isolated: true;
  };
  /** Stops it, and ends the connections to it. */
  stop(): Promise<void>;
}

/**
 * @param port no other test's
 * @param options lines of sshd_config, `Key=value`
 */
export async function startSshd(port: number, options: string[]): Promise<ExtraSshd> {
  const pidFile = `/run/sshd-${port}.pid`;
  const argv = ['-f', '/dev/null', '-p', String(port), ...[`PidFile=${pidFile}`, ...options].flatMap((o) => ['-o', o])];
  // It is a daemon before it listens; the file with its number comes last.
  await onLogin(`/usr/sbin/sshd ${quoteAll(argv)} && until [ -s ${pidFile} ]; do sleep 0.05; done`, 'root');
  const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
  const { stdout: host } = await execa('docker', ['inspect', '--format', format, loginContainer]);
  const { identityFile, knownHostsFile: sandboxKnownHosts } = await sandboxCluster();
  const knownHostsFile = join(await makeProject({}), 'known_hosts');
  await writeFile(knownHostsFile, (await readFile(sandboxKnownHosts, 'utf8')).replace(/^\S+/gm, `[${host}]:${port}`));
  return {
    target: { host, port, user: 'researcher', identityFile, knownHostsFile, isolated: true },
    stop: async () => {
      // The process that listens, and its children, one for each connection.
      await onLogin(`p=$(cat ${pidFile}); pkill -P "$p"; kill "$p"; rm -f ${pidFile}`, 'root');
    },
  };
}
