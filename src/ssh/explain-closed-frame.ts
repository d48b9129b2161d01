import { HpcrunError } from '../errors.js';
import { inputTakenStatus, noTerminalStatus, replacedStatus, undecodableStatus } from './frame.js';
import { printable } from './terminal-text.js';

const shownCharacters = 1000;
const startUpFiles = ".bashrc, .zshenv, .cshrc, .tcshrc, config.fish, or one of the system's under /etc";
// Names that shells read on their own, also when they run a single command.
const startUpFile =
  /(?:[^\s:'"`]*\/)?(?:\.(?:bashrc|bash_profile|profile|zshenv|zshrc|zprofile|cshrc|tcshrc|login|kshrc|ssh\/rc)|config\.fish|(?:bash\.bashrc|sshrc|csh\.cshrc|zshenv)(?![\w.]))/;

/**
 * The error for a login shell that ended without beginning hpcrun's command: what it printed, what that means, and which file
 * is to be mended.
 * @param noise all that came on both outputs
 */
export function explainClosedFrame(description: string, exitCode: number, noise: string): HpcrunError {
  const shown = printable(noise.trim()).slice(-shownCharacters);
  const { what, hint } = diagnose(exitCode, noise);
  return new HpcrunError('REMOTE_SHELL_UNUSABLE', `${description}: ${what}${shown ? `; it printed:\n${shown}` : ''}`, {
    hint,
  });
}

function diagnose(exitCode: number, noise: string): { what: string; hint: string } {
  const named = startUpFile.exec(noise)?.[0];
  const file = named === undefined ? 'a start-up file' : printable(named);
  const look = named === undefined ? ` (${startUpFiles})` : '';
  if (exitCode === inputTakenStatus) {
    return {
      what: `${file} there reads standard input, which is the command's own`,
      hint: `Let the file${look} ask or read only in interactive shells.`,
    };
  }
  if (exitCode === replacedStatus || (exitCode === 0 && noise.trim() === '')) {
    return {
      what: `${file} there starts another shell in the place of the login shell, and the command is lost`,
      hint: `Let the file${look} do so only in interactive shells, or ask your cluster to change the login shell (chsh).`,
    };
  }
  if (exitCode === noTerminalStatus) {
    return {
      what: 'the server gives no terminal',
      hint: 'PermitTTY of its sshd may forbid it. Commands without -t work all the same.',
    };
  }
  if (exitCode === undecodableStatus || /base64.*not found/i.test(noise)) {
    return {
      what: 'the program base64 is not found there',
      hint: `It belongs to coreutils; a start-up file${look} may have set PATH to something without it.`,
    };
  }
  if (/account is currently not available|nologin/i.test(noise)) {
    return { what: 'the account has no login shell', hint: 'Ask the administrators of the cluster to open it.' };
  }
  if (/\brestricted\b/i.test(noise)) {
    return {
      what: 'the login shell is a restricted one and does not run /bin/sh',
      hint: 'Ask the administrators for an ordinary shell, or use another login node.',
    };
  }
  return {
    what: `the login shell ended with status ${exitCode} before hpcrun's command began${named === undefined ? '' : `, in ${file}`}`,
    hint: `${named === undefined ? `Usually a start-up file${look} ends` : `Perhaps ${file} ends`} the shell: let it do so only in interactive shells.`,
  };
}
