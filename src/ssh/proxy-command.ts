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
export function openProxyCommand(
  settings: Names,
  command: string,
  { env, prompter }: Pick<OpenOptions, 'env' | 'prompter'>,
): Duplex {
  const expanded = expandProxyCommand(command, settings);
  const child = spawn(env.SHELL ?? '/bin/sh', ['-c', `exec ${expanded}`], { env, stdio: 'pipe' });
  const stream = new Duplex({
    read: () => child.stdout.resume(),
    write: (chunk, _encoding, done) => {
      child.stdin.write(chunk, () => {
        done();
      });
    },
    final: (done) => child.stdin.end(done),
  });
  child.stdout.on('data', (chunk: Buffer) => {
    if (!stream.push(chunk)) child.stdout.pause();
  });
  // Its status, which comes last, says why it has ended.
  child.stdin.on('error', () => undefined);
  const fail = (why: string) => stream.destroy(new Error(`its ProxyCommand "${expanded}" ${why}`));
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    const text = chunk.toString('utf8');
    said = `${said}${text}`.slice(-1000);
    prompter.tell(printable(text.trimEnd()));
  });
  child.once('error', (error) => fail(`cannot be run: ${error.message}`));
  child.once('close', (code, name) => {
    if (stream.destroyed) return;
    if (code === 0) stream.push(null);
    else fail(`ended with ${code === null ? String(name) : `status ${code}`}${said.trim() ? `: ${said.trim()}` : ''}`);
  });
  stream.once('close', () => {
    // OpenSSH ends it in the same way.
    child.kill('SIGHUP');
    // What it has left running must not keep hpcrun running, too.
    for (const pipe of [child.stdin, child.stdout, child.stderr]) pipe.destroy();
    child.unref();
  });
  // A stream that breaks between here and the handshake is the handshake's to report.
  stream.on('error', () => undefined);
  return stream;
}
