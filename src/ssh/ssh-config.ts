import { createHash } from 'node:crypto';
import { homedir, hostname, userInfo } from 'node:os';
import { HpcrunError } from '../errors.js';

/** The ways to log in that hpcrun knows itself, as SSH names them (RFC 4252 and 4256). */
export type AuthenticationMethod = 'publickey' | 'keyboard-interactive' | 'password';

/** OpenSSH's own order of preference, without what ssh2 does not know. */
const defaultAuthenticationOrder: AuthenticationMethod[] = ['publickey', 'keyboard-interactive', 'password'];

/** What is needed to reach one host, from the user's SSH configuration and hpcrun's own. */
export interface HostSettings {
  /** Name for messages: what the user called the host. */
  alias: string;
  host: string;
  port: number;
  user: string;
  /** 4 or 6 where only one of the Internet's address families is wanted. */
  addressFamily: 4 | 6 | undefined;
  connectTimeoutMs: number;
  keepalive: { intervalMs: number; countMax: number };
  identityFiles: string[];
  /** Of the agent's keys, only those of identityFiles are offered. */
  identitiesOnly: boolean;
  /** Certificates that the user has configured; ssh2 cannot use them. */
  certificateFiles: string[];
  /** Socket of the agent; undefined without one. */
  agentSocket: string | undefined;
  /** Which way to log in is tried before which; one that is missing is not tried. */
  authenticationOrder: AuthenticationMethod[];
  /** How often a password or a code is asked for. */
  passwordPrompts: number;
  /** Whether a Kerberos ticket may be used; ssh2 cannot. */
  allowsGssapi: boolean;
  /** Whether the text that a server shows before the login is passed on. */
  showsBanner: boolean;
  /** The first is the one that new keys are written to. */
  knownHostsFiles: string[];
  /** The name to look for in known_hosts, in place of host and port. */
  hostKeyAlias: string | undefined;
  /** Whether names are hashed when a key is stored. */
  hashKnownHosts: boolean;
  /** What happens to a key that is not known. A changed one is refused in any case. */
  unknownHostKeys: 'ask' | 'accept' | 'refuse';
  /** Whether the address, too, is compared with known_hosts. */
  checkHostAddress: boolean;
  revokedHostKeysFiles: string[];
  /** Hosts to go through, the first one first, as `[user@]host[:port]`. */
  jumps: string[];
  /** Run instead of connecting to the host, tokens still to be expanded. */
  proxyCommand?: string | undefined;
}

/** hpcrun's own values for a host; they go before the user's SSH configuration. */
export interface HostOverrides {
  host: string;
  port?: number | undefined;
  user?: string | undefined;
  identityFile?: string | undefined;
  knownHostsFile?: string | undefined;
  /** As ProxyJump of ssh_config. */
  proxyJump?: string | undefined;
  authenticationOrder?: AuthenticationMethod[] | undefined;
  /** Leaves the user's SSH configuration, agent and default keys out of it. */
  isolated?: boolean;
}

/**
 * Resolves a host as `ssh HOST` would, by asking `ssh -G` (so that Host, Match and Include are OpenSSH's own). Without an
 * ssh program the defaults hold. Throws CONNECTION_FAILED if the configuration is broken.
 */
export async function resolveHost(overrides: HostOverrides, env: NodeJS.ProcessEnv): Promise<HostSettings> {
  if (overrides.isolated) return isolatedSettings(overrides);
  const values = await readSshConfig(overrides, env);
  return settingsFrom(values, overrides, env);
}

/**
 * The hosts on the way to one and that host itself, the first one first, each with its own settings. As in OpenSSH, the first of a list of
 * jump hosts may need jumps of its own; those of the others are given by the list. Throws as `resolveHost` does.
 */
export async function resolveRoute(overrides: HostOverrides, env: NodeJS.ProcessEnv): Promise<HostSettings[]> {
  const target = await resolveHost(overrides, env);
  // What leaves the user's configuration out of it does so on the whole way.
  const shared = overrides.isolated ? { ...overrides, port: undefined, proxyJump: undefined } : {};
  let route = [target];
  for (let { jumps } = target; jumps.length > 0;) {
    const hops = await Promise.all(
      jumps.map(async (jump) => await resolveHost({ ...shared, ...parseJump(jump) }, env)),
    );
    const [first] = hops;
    if (!first) break;
    if (route.some((host) => isSameHost(host, first))) {
      throw new HpcrunError(
        'CONNECTION_FAILED',
        `the ProxyJumps to ${target.alias} go round in a circle at ${first.alias}`,
        {
          hint: 'Mend ~/.ssh/config: give the jump host "ProxyJump none".',
        },
      );
    }
    route = [...hops, ...route];
    ({ jumps } = first);
  }
  return route;
}

function isSameHost(one: HostSettings, other: HostSettings): boolean {
  return one.host === other.host && one.port === other.port && one.user === other.user;
}

/** The meaning of what `ssh -G` has printed (ssh_config man page), with hpcrun's own values before it. */
export function settingsFrom(
  values: Map<string, string[]>,
  overrides: HostOverrides,
  env: NodeJS.ProcessEnv,
): HostSettings {
  const first = (key: string) => values.get(key)?.[0];
  const flag = (key: string, otherwise: boolean) => {
    const value = first(key);
    return value === undefined ? otherwise : value === 'yes' || value === 'true';
  };
  const number = (key: string) => {
    const value = Number(first(key));
    return Number.isFinite(value) && value > 0 ? value : undefined;
  };
  const proxyCommand = first('proxycommand');
  const host = first('hostname') ?? overrides.host;
  const port = overrides.port ?? number('port') ?? 22;
  const user = overrides.user ?? first('user') ?? userInfo().username;
  const jump = overrides.proxyJump ?? first('proxyjump');
  const hostKeyAlias = first('hostkeyalias');
  const names = { host, port, user, alias: overrides.host, hostKeyAlias, jump: jump ?? '' };
  const expand = (text: string) => expandTokens(text, names, env);
  const paths = (key: string) =>
    (first(key)?.split(' ') ?? []).filter((path) => path !== '' && path !== 'none').map(expand);
  const defaultKeys = ['~/.ssh/id_rsa', '~/.ssh/id_ecdsa', '~/.ssh/id_ed25519'];
  return {
    alias: overrides.host,
    host,
    port,
    user,
    addressFamily: addressFamilies[first('addressfamily') ?? ''],
    connectTimeoutMs: (number('connecttimeout') ?? 15) * 1000,
    keepalive: keepalive(number('serveraliveinterval'), number('serveralivecountmax')),
    identityFiles: overrides.identityFile
      ? [expand(overrides.identityFile)]
      : (values.get('identityfile') ?? defaultKeys).filter((path) => path !== 'none').map(expand),
    identitiesOnly: flag('identitiesonly', false),
    certificateFiles: (values.get('certificatefile') ?? []).filter((path) => path !== 'none').map(expand),
    agentSocket: agentSocket(first('identityagent'), expand, env),
    authenticationOrder: (
      overrides.authenticationOrder ??
      first('preferredauthentications')?.split(',').filter(isAuthenticationMethod) ??
      defaultAuthenticationOrder
    ).filter((method) => flag(switchOf[method], true)),
    passwordPrompts: number('numberofpasswordprompts') ?? 3,
    allowsGssapi: flag('gssapiauthentication', false),
    showsBanner: !['QUIET', 'FATAL', 'ERROR'].includes(first('loglevel') ?? ''),
    knownHostsFiles: overrides.knownHostsFile
      ? [expand(overrides.knownHostsFile)]
      : [...paths('userknownhostsfile'), ...paths('globalknownhostsfile')],
    hostKeyAlias,
    hashKnownHosts: flag('hashknownhosts', false),
    unknownHostKeys: unknownHostKeys(first('stricthostkeychecking')),
    checkHostAddress: flag('checkhostip', false),
    revokedHostKeysFiles: paths('revokedhostkeys'),
    jumps: jump === undefined || jump === 'none' ? [] : jump.split(','),
    proxyCommand: proxyCommand === 'none' ? undefined : proxyCommand,
  };
}

const addressFamilies: Record<string, 4 | 6> = { inet: 4, inet6: 6 };

const switchOf: Record<AuthenticationMethod, string> = {
  publickey: 'pubkeyauthentication',
  'keyboard-interactive': 'kbdinteractiveauthentication',
  password: 'passwordauthentication',
};

function isAuthenticationMethod(name: string): name is AuthenticationMethod {
  return Object.hasOwn(switchOf, name);
}

/** OpenSSH asks for no sign of life unless told to. Without one, a dead network would be noticed after a quarter of an hour. */
function keepalive(intervalSeconds = 7, countMax = 3): HostSettings['keepalive'] {
  return { intervalMs: intervalSeconds * 1000, countMax };
}

/** `no` has OpenSSH store keys unseen as `accept-new` does. It lets changed ones pass, too; hpcrun does not. */
function unknownHostKeys(value: string | undefined): HostSettings['unknownHostKeys'] {
  if (value === 'yes' || value === 'true') return 'refuse';
  return value === undefined || value === 'ask' ? 'ask' : 'accept';
}

/** `SSH_AUTH_SOCK`, `$VARIABLE` or a path. */
function agentSocket(
  value = 'SSH_AUTH_SOCK',
  expand: (text: string) => string,
  env: NodeJS.ProcessEnv,
): string | undefined {
  if (value === 'none') return undefined;
  const variable = value === 'SSH_AUTH_SOCK' ? value : /^\$(\w+)$/.exec(value)?.[1];
  const socket = variable === undefined ? expand(value) : env[variable];
  return socket === '' ? undefined : socket;
}

function isolatedSettings(overrides: HostOverrides): HostSettings {
  const settings = settingsFrom(new Map(), { ...overrides, identityFile: undefined, knownHostsFile: undefined }, {});
  return {
    ...settings,
    identityFiles: overrides.identityFile ? [overrides.identityFile] : [],
    identitiesOnly: true,
    knownHostsFiles: overrides.knownHostsFile ? [overrides.knownHostsFile] : [],
  };
}

async function readSshConfig(
  { host, port, user }: HostOverrides,
  env: NodeJS.ProcessEnv,
): Promise<Map<string, string[]>> {
  const options = [...(port ? ['-p', String(port)] : []), ...(user ? ['-l', user] : [])];
  const { execa } = await import('execa');
  const result = await execa('ssh', ['-G', ...options, '--', host], {
    env,
    reject: false,
    stdin: 'ignore',
    timeout: 10_000,
  });
  if (result.code === 'ENOENT') return new Map([['userknownhostsfile', ['~/.ssh/known_hosts']]]);
  if (result.failed) {
    throw new HpcrunError('CONNECTION_FAILED', `ssh -G ${host} failed: ${result.stderr || result.shortMessage}`, {
      hint: 'Mend ~/.ssh/config: "ssh" itself cannot read it either.',
    });
  }
  return parseSshConfig(result.stdout);
}

/** The lines of `ssh -G` by lower-case key; IdentityFile and others come several times. */
export function parseSshConfig(text: string): Map<string, string[]> {
  const values = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    if (space === -1) continue;
    const key = line.slice(0, space).toLowerCase();
    values.set(key, [...(values.get(key) ?? []), line.slice(space + 1)]);
  }
  return values;
}

interface ConnectionNames {
  host: string;
  port: number;
  user: string;
  alias: string;
  hostKeyAlias: string | undefined;
  jump: string;
}

// ssh_config man page, TOKENS and ENVIRONMENT VARIABLES.
function expandTokens(text: string, names: ConnectionNames, env: NodeJS.ProcessEnv): string {
  const local = hostname();
  const port = String(names.port);
  const tokens: Record<string, string> = {
    '%': '%',
    C: createHash('sha1').update(`${local}${names.host}${port}${names.user}${names.jump}`).digest('hex'),
    d: homedir(),
    h: names.host,
    i: String(userInfo().uid),
    j: names.jump,
    k: names.hostKeyAlias ?? names.alias,
    L: local.split('.')[0] ?? local,
    l: local,
    n: names.alias,
    p: port,
    r: names.user,
    u: userInfo().username,
  };
  return text
    .replace(/%([%CdhijkLlnpru])/g, (_, token: string) => tokens[token] ?? '')
    .replace(/\$\{(\w+)\}/g, (unknown, name: string) => env[name] ?? unknown)
    .replace(/^~(?=\/|$)/, homedir());
}

/** `[user@]host[:port]`, as in ProxyJump, with IPv6 addresses in brackets. */
export function parseJump(text: string): HostOverrides {
  const match = /^(?:ssh:\/\/)?(?:(.+)@)?(?:\[([^\]@]+)\]|([^:@[\]]+))(?::(\d+))?$/.exec(text);
  const host = match?.[2] ?? match?.[3];
  if (!match || !host) {
    throw new HpcrunError('CONNECTION_FAILED', `ProxyJump "${text}" is not [user@]host[:port]`, {
      hint: 'Mend ~/.ssh/config.',
    });
  }
  return { host, user: match[1], port: match[4] === undefined ? undefined : Number(match[4]) };
}
