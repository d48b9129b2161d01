import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { HpcrunError } from '../errors.js';
import type { OpenOptions } from './login.js';
import type { HostSettings } from './ssh-config.js';
import { printable } from './terminal-text.js';

type Names = Pick<HostSettings, 'alias' | 'host' | 'port' | 'user'>;

/** The command with its tokens expanded; ssh_config(5), TOKENS: ProxyCommand takes %%, %h, %n, %p and %r. */
export function expandProxyCommand(command: string, { alias, host, port, user }: Names): string {
  const tokens: Record<string, string> = { '%': '%', h: host, n: alias, p: String(port), r: user };
  return command.replace(/%(.?)/g, (whole, token: string) => {
    const value = tokens[token];
    if (value !== undefined) return value;
    throw new HpcrunError(
      'CONNECTION_FAILED',
      `the ProxyCommand of ${alias} has an unknown token ${whole}: ${command}`,
      {
        hint: 'Mend ~/.ssh/config; "man ssh_config" lists the tokens.',
      },
    );
  });
}

/**
 * Runs the host's ProxyCommand with the user's shell, as ssh_config(5) says, and gives its standard input and output as
 * the stream to the host. What it prints on standard error is shown: some ask to open a page in a browser. Throws CONNECTION_FAILED.
 */
export function openProxyCommand(settings: Names, command: string, { env, prompter, signal }: OpenOptions): Duplex {
  const expanded = expandProxyCommand(command, settings);
  const child = spawn(env.SHELL ?? '/bin/sh', ['-c', `exec ${expanded}`], { env, stdio: 'pipe' });
  const stream = Duplex.from({ readable: child.stdout, writable: child.stdin });
  const fail = (why: string) => stream.destroy(new Error(`its ProxyCommand "${expanded}" ${why}`));
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    const text = chunk.toString('utf8');
    said = `${said}${text}`.slice(-1000);
    prompter.tell(printable(text.trimEnd()));
  });
  child.once('error', (error) => fail(`cannot be run: ${error.message}`));
  child.once('close', (code, name) => {
    if (stream.destroyed || code === 0) return;
    fail(`ended with ${code === null ? String(name) : `status ${code}`}${said.trim() ? `: ${said.trim()}` : ''}`);
  });
  const stop = () => {
    // OpenSSH ends it in the same way.
    child.kill('SIGHUP');
  };
  stream.once('close', stop);
  // A stream that breaks between here and the handshake is the handshake's to report.
  stream.on('error', () => undefined);
  signal.addEventListener('abort', stop, { once: true });
  child.once('exit', () => {
    signal.removeEventListener('abort', stop);
  });
  return stream;
}
