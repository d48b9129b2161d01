import { describe, expect, it } from 'vitest';
import { explainClosedFrame } from '../../src/ssh/explain-closed-frame.js';

describe('explainClosedFrame', () => {
  it.each([
    [3, 'maintenance today\n', 'ended with status 3', '.bashrc'],
    [1, '/home/ada/.bashrc: line 7: /opt/x: No such file\n', 'in /home/ada/.bashrc', 'Perhaps /home/ada/.bashrc ends'],
    [97, '', 'another shell in the place', 'chsh'],
    [0, '', 'another shell in the place', '.zshenv'],
    [98, 'Do you accept?\n', 'reads standard input', 'interactive'],
    [96, 'sh: 1: base64: not found\n', 'base64 is not found', 'PATH'],
    [1, 'This account is currently not available.\n', 'no login shell', 'administrators'],
    [1, "rbash: /bin/sh: restricted: cannot specify `/' in command names\n", 'restricted', 'administrators'],
  ])('status %d and %j', (status, noise, message, hint) => {
    const error = explainClosedFrame('ada@login', status, noise);
    expect(error.code).toBe('REMOTE_SHELL_UNUSABLE');
    expect(error.message).toContain(message);
    expect(error.message).toContain(noise.trim());
    expect(error.hint).toContain(hint);
  });

  it('shows only the end of what was printed, and nothing that moves a cursor', () => {
    const { message } = explainClosedFrame('ada@login', 1, `${'x'.repeat(5000)}\u001b[2Jlast words`);
    expect(message).toContain('\\x1b[2Jlast words');
    expect(message.length).toBeLessThan(1300);
  });
});
