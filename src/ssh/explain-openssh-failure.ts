import { HpcrunError } from '../errors.js';
import type { ExpiredCertificate } from './expired-certificates.js';
import { isAboutHostKey } from './openssh-questions.js';
import type { HostOverrides } from './ssh-config.js';
import { printable } from './terminal-text.js';

/**
 * The error for a login that the system's ssh has given up.
 * @param said what it printed
 * @param unanswered a question that nobody could be asked
 * @param expired certificates that could have let the user in
 */
export function explainOpensshFailure(
  { host, port, user }: HostOverrides,
  said: string,
  unanswered: { prompt: string; error: HpcrunError } | undefined,
  expired: ExpiredCertificate[] = [],
): HpcrunError {
  const who = `${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : `:${port}`}`;
  const shown = printable(said.trim()).split('\n').slice(-12).join('\n');
  const cause = new Error(said);
  if (/REVOKED HOST KEY|host key .* revoked/i.test(said)) {
    return new HpcrunError('HOST_KEY_REVOKED', `the host key of ${who} is marked as revoked: ssh says:\n${shown}`, {
      hint: 'Do not connect. Ask the administrators of the cluster.',
      cause,
    });
  }
  if (/HOST IDENTIFICATION HAS CHANGED|host key .* has changed/i.test(said)) {
    const shownKey = /SHA256:[\w+/]+/.exec(said)?.[0];
    return new HpcrunError(
      'HOST_KEY_CHANGED',
      `the host key of ${who} has changed${shownKey ? `: it is now ${shownKey}` : ''}. Somebody may be listening in, or the host was installed anew`,
      {
        hint: `Ask the administrators for the new fingerprint. If it is this one, remove the old key${removal(said)}`,
        cause,
      },
    );
  }
  if (said.includes('Host key verification failed')) {
    const prompt = unanswered && isAboutHostKey(unanswered.prompt) ? unanswered.prompt : said;
    const key = /(\S+) key fingerprint is:?\s+(SHA256:[\w+/]+)/.exec(prompt);
    return new HpcrunError(
      'HOST_KEY_UNKNOWN',
      `the host key of ${who} is not known${key ? `: ${String(key[1])} ${String(key[2])}` : ''}`,
      {
        hint: `Compare the fingerprint with the one your cluster publishes, then connect once in a terminal and answer "yes", or run: ssh ${host}`,
        cause,
      },
    );
  }
  if (/Permission denied|Too many authentication failures|No more authentication methods/i.test(said)) {
    const question = unanswered ? ` without a question: ${unanswered.error.message}` : '';
    return new HpcrunError('LOGIN_FAILED', `${who} was not let in${question}; ssh says:\n${shown}`, {
      hint: certificateHint(expired) ?? unanswered?.error.hint ?? loginHint(said, host),
      cause,
    });
  }
  return new HpcrunError(
    'CONNECTION_FAILED',
    `ssh cannot connect to ${who}${shown ? `; it says:\n${shown}` : ': it ended without a word'}`,
    { hint: `Check the name, your network and VPN; "ssh -v ${host}" shows more.`, cause },
  );
}

function removal(said: string): string {
  // ssh prints the command itself, on a line of its own; a server's banner may hold one, too, and must not get further than this.
  const command = /^\s*(ssh-keygen -f (['"]?)[\w./@~+-]+\2 -R (['"]?)[\w.:[\]-]+\3)\s*$/m.exec(said)?.[1];
  return command === undefined ? ' with ssh-keygen -R.' : ` with: ${command}`;
}

function certificateHint([first]: ExpiredCertificate[]): string | undefined {
  if (!first) return undefined;
  return `The certificate ${first.file} has expired: it was valid until ${first.validUntil}. Get a new one, as your site gives them out.`;
}

function loginHint(said: string, host: string): string {
  if (/Too many authentication failures/i.test(said)) {
    return 'The agent offered too many keys: set identityFile for the cluster, or IdentitiesOnly in ~/.ssh/config.';
  }
  if (/gssapi/i.test(said)) {
    return `The server takes Kerberos tickets: get one with "kinit", set GSSAPIAuthentication yes for ${host} in ~/.ssh/config, and try again.`;
  }
  return `Check with "ssh ${host}" which key or password is wanted, and that the user name is right.`;
}
