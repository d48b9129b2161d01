import { describe, expect, it } from 'vitest';
import { HpcrunError } from '../../src/errors.js';
import { explainOpensshFailure } from '../../src/ssh/explain-openssh-failure.js';

const target = { host: 'login', user: 'ada' };

// Printed by OpenSSH 9.2.
const changed = `@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
The fingerprint for the ED25519 key sent by the remote host is
SHA256:9Ky92VeTM82tbWSzIisWCVo0Fg51zOdl453r3nFbmGs.
Please contact your system administrator.
Offending ED25519 key in /home/ada/.ssh/known_hosts:3
  remove with:
  ssh-keygen -f "/home/ada/.ssh/known_hosts" -R "login"
Host key for login has changed and you have requested strict checking.
Host key verification failed.
`;
const question = `The authenticity of host 'login (10.0.0.1)' can't be established.
ED25519 key fingerprint is SHA256:9Ky92VeTM82tbWSzIisWCVo0Fg51zOdl453r3nFbmGs.
Are you sure you want to continue connecting (yes/no/[fingerprint])? `;
const nobody = new HpcrunError('INPUT_NEEDED', 'nobody can be asked', { hint: 'Use a key.' });

describe('explainOpensshFailure', () => {
  it('refuses a changed key with OpenSSH’s own advice', () => {
    const error = explainOpensshFailure(target, changed, undefined);
    expect(error.code).toBe('HOST_KEY_CHANGED');
    expect(error.message).toContain('SHA256:9Ky92VeTM82tbWSzIisWCVo0Fg51zOdl453r3nFbmGs');
    expect(error.hint).toContain('ssh-keygen -f "/home/ada/.ssh/known_hosts" -R "login"');
  });

  it('shows an unknown key that nobody could be asked about', () => {
    const unanswered = { prompt: question, error: nobody };
    const error = explainOpensshFailure(target, 'Host key verification failed.\n', unanswered);
    expect(error.code).toBe('HOST_KEY_UNKNOWN');
    expect(error.message).toContain('ED25519 SHA256:9Ky92VeTM82tbWSzIisWCVo0Fg51zOdl453r3nFbmGs');
  });

  it.each([
    ['ada@login: Permission denied (publickey,password).', 'LOGIN_FAILED', 'ssh login'],
    ['ada@login: Permission denied (publickey,gssapi-with-mic).', 'LOGIN_FAILED', 'kinit'],
    ['Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures', 'LOGIN_FAILED', 'identityFile'],
    ['@ WARNING: REVOKED HOST KEY DETECTED! @\nHost key verification failed.', 'HOST_KEY_REVOKED', 'administrators'],
    ['ssh: Could not resolve hostname login: Name or service not known', 'CONNECTION_FAILED', 'ssh -v login'],
    ['ssh: connect to host login port 22: Connection refused', 'CONNECTION_FAILED', 'network'],
    ['', 'CONNECTION_FAILED', 'network'],
  ])('%s', (said, code, hint) => {
    const error = explainOpensshFailure(target, `${said}\n`, undefined);
    expect(error.code).toBe(code);
    expect(error.hint).toContain(hint);
  });

  it('names the question that a login needed an answer to', () => {
    const unanswered = { prompt: "ada@login's password: ", error: nobody };
    const error = explainOpensshFailure(target, 'Permission denied (password).\n', unanswered);
    expect(error).toMatchObject({ code: 'LOGIN_FAILED', hint: 'Use a key.' });
    expect(error.message).toContain('nobody can be asked');
  });

  it('names a certificate that has expired', () => {
    const expired = [{ file: '/home/ada/.ssh/id-cert.pub', validUntil: '2026-11-25T08:00:00' }];
    const error = explainOpensshFailure(target, 'ada@login: Permission denied (publickey).\n', undefined, expired);
    expect(error.code).toBe('LOGIN_FAILED');
    expect(error.hint).toContain('/home/ada/.ssh/id-cert.pub has expired: it was valid until 2026-11-25T08:00:00');
  });
});
