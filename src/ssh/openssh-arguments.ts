import { quoteAll } from './quote.js';
import { parseJump, type HostOverrides, type HostSettings } from './ssh-config.js';

export interface Keepalive {
  intervalMs: number;
  /** How many signs of life may be missed before the connection counts as broken. */
  lostAfter: number;
}

interface MasterOptions {
  unattended?: boolean | undefined;
  unknownHostKeys?: HostSettings['unknownHostKeys'];
}

const strictness: Record<HostSettings['unknownHostKeys'], string> = { ask: 'ask', accept: 'accept-new', refuse: 'yes' };

/**
 * Arguments of `ssh` that log in and then serve further sessions at `socket` (ssh(1), -M). The user's own configuration
 * holds for everything that is not about sharing the connection, questions, or the checking of host keys.
 */
export function renderMasterArguments(
  target: HostOverrides,
  socket: string,
  keepalive: Keepalive,
  { unattended = false, unknownHostKeys = 'ask' }: MasterOptions = {},
): string[] {
  return [
    ...configurationArguments(target),
    ...['-M', '-N', '-T', '-x', '-a', '-S', escapeTokens(socket)],
    ...options({
      ControlPersist: 'no',
      ClearAllForwardings: 'yes',
      RemoteCommand: 'none',
      PermitLocalCommand: 'no',
      // Nobody is there: neither passwords nor keyboard-interactive, which may send somebody a code.
      BatchMode: unattended ? 'yes' : 'no',
      // Never `no`, which lets changed keys pass, too.
      StrictHostKeyChecking: strictness[unknownHostKeys],
      VisualHostKey: 'no',
      FingerprintHash: 'sha256',
      NumberOfPasswordPrompts: '3',
      ConnectTimeout: '15',
      ServerAliveInterval: String(Math.ceil(keepalive.intervalMs / 1000)),
      ServerAliveCountMax: String(keepalive.lostAfter),
      // The server's own words, which go with its questions, come at this level.
      LogLevel: 'INFO',
    }),
    '--',
    target.host,
  ];
}

/**
 * Arguments of `ssh` to use a connection that is there, before those that say what for. It never makes a connection of its own,
 * should the other one be gone, and keeps its messages out of the far side's standard error.
 */
export function renderSharedArguments(socket: string, logFile: string, wantsTerminal = false): string[] {
  return [
    ...['-F', 'none', '-S', escapeTokens(socket), wantsTerminal ? '-tt' : '-T', '-x', '-a', '-E', logFile],
    // What is typed is the far side's, also a tilde.
    ...(wantsTerminal ? ['-e', 'none'] : []),
    ...options({ ControlMaster: 'no', ProxyCommand: 'exit 1', LogLevel: 'ERROR' }),
  ];
}

function configurationArguments(target: HostOverrides): string[] {
  const { proxyJump, isolated } = target;
  if (isolated) return isolatedArguments(target, proxyJump?.split(',').map(parseJump) ?? []);
  return [...hostArguments(target), ...(proxyJump === undefined ? [] : options({ ProxyJump: proxyJump }))];
}

/** The jump hosts of a ProxyJump would be reached with the user's own keys and known hosts: these are given the target's. */
function isolatedArguments(target: HostOverrides, jumps: HostOverrides[]): string[] {
  const jump = jumps.at(-1);
  return [
    ...['-F', 'none'],
    ...hostArguments(target),
    ...options({ IdentitiesOnly: 'yes', IdentityAgent: 'none', UpdateHostKeys: 'no' }),
    ...(target.identityFile === undefined ? options({ IdentityFile: 'none' }) : []),
    ...(jump === undefined ? [] : options({ ProxyCommand: renderJump(target, jump, jumps.slice(0, -1)) })),
  ];
}

function renderJump(target: HostOverrides, jump: HostOverrides, before: HostOverrides[]): string {
  const { host, port = 22, identityFile, knownHostsFile } = target;
  const words = [
    'ssh',
    ...isolatedArguments({ identityFile, knownHostsFile, ...jump }, before),
    ...['-T', '-x', '-a', '-W', `[${host}]:${port}`],
    ...options({ StrictHostKeyChecking: 'ask', ConnectTimeout: '15' }),
    '--',
    jump.host,
  ];
  return escapeTokens(quoteAll(words));
}

function hostArguments({ port, user, identityFile, knownHostsFile }: HostOverrides): string[] {
  return [
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(user === undefined ? [] : ['-l', user]),
    // Not -i, which falls back on the default keys if the file is missing.
    ...(identityFile === undefined ? [] : options({ IdentityFile: quoteValue(identityFile) })),
    ...(knownHostsFile === undefined
      ? []
      : options({ UserKnownHostsFile: quoteValue(knownHostsFile), GlobalKnownHostsFile: '/dev/null' })),
  ];
}

function options(values: Record<string, string>): string[] {
  return Object.entries(values).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}

/** ssh_config(5): arguments with spaces are put in double quotes. */
function quoteValue(value: string): string {
  return `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** ssh_config(5), TOKENS: a path of ours is meant as it is. */
function escapeTokens(path: string): string {
  return path.replaceAll('%', '%%');
}
