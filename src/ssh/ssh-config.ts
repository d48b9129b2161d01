import { homedir, userInfo } from 'node:os';
import { HpcrunError } from '../errors.js';

/** What is needed to reach one host, from the user's SSH configuration and hpcrun's own. */
export interface HostSettings {
  /** Name for messages: what the user called the host. */
  alias: string;
  host: string;
  port: number;
  user: string;
  identityFiles: string[];
  identitiesOnly: boolean;
  /** Socket of the agent; undefined without one. */
  agentSocket: string | undefined;
  /** The first is the one that new keys are written to. */
  knownHostsFiles: string[];
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
  /** Leaves the user's SSH configuration, agent and default keys out of it. */
  isolated?: boolean;
}

/**
 * Resolves a host as `ssh HOST` would, by asking `ssh -G` (so that Host, Match and Include are OpenSSH's own). Without an
 * ssh program the defaults hold. Throws CONNECTION_FAILED if the configuration is broken.
 */
export async function resolveHost(overrides: HostOverrides, env: NodeJS.ProcessEnv): Promise<HostSettings> {
  if (overrides.isolated) return isolatedSettings(overrides);
  const values = await readSshConfig(overrides);
  const first = (key: string) => values.get(key)?.[0];
  const proxyCommand = first('proxycommand');
  const host = first('hostname') ?? overrides.host;
  const port = overrides.port ?? Number(first('port') ?? 22);
  const user = overrides.user ?? first('user') ?? userInfo().username;
  const expand = (text: string) => expandTokens(text, { host, port, user, alias: overrides.host });
  const agent = first('identityagent');
  const agentSocket = agent === undefined || agent === 'SSH_AUTH_SOCK' ? env.SSH_AUTH_SOCK : expand(agent);
  const jump = overrides.proxyJump ?? first('proxyjump');
  return {
    alias: overrides.host,
    host,
    port,
    user,
    identityFiles: overrides.identityFile
      ? [expand(overrides.identityFile)]
      : (values.get('identityfile') ?? ['~/.ssh/id_ed25519', '~/.ssh/id_ecdsa', '~/.ssh/id_rsa']).map(expand),
    identitiesOnly: first('identitiesonly') === 'yes',
    agentSocket: agent === 'none' || agentSocket === '' ? undefined : agentSocket,
    knownHostsFiles: overrides.knownHostsFile
      ? [expand(overrides.knownHostsFile)]
      : ['userknownhostsfile', 'globalknownhostsfile']
          .flatMap((key) => first(key)?.split(' ') ?? [])
          .filter((path) => path !== '' && path !== 'none')
          .map(expand),
    jumps: jump === undefined || jump === 'none' ? [] : jump.split(','),
    proxyCommand: proxyCommand === 'none' ? undefined : proxyCommand,
  };
}

function isolatedSettings(overrides: HostOverrides): HostSettings {
  return {
    alias: overrides.host,
    host: overrides.host,
    port: overrides.port ?? 22,
    user: overrides.user ?? userInfo().username,
    identityFiles: overrides.identityFile ? [overrides.identityFile] : [],
    identitiesOnly: true,
    agentSocket: undefined,
    knownHostsFiles: overrides.knownHostsFile ? [overrides.knownHostsFile] : [],
    jumps: overrides.proxyJump?.split(',') ?? [],
  };
}

async function readSshConfig({ host, port, user }: HostOverrides): Promise<Map<string, string[]>> {
  const options = [...(port ? ['-p', String(port)] : []), ...(user ? ['-l', user] : [])];
  const { execa } = await import('execa');
  const result = await execa('ssh', ['-G', ...options, '--', host], {
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

// ssh_config man page, TOKENS.
function expandTokens(text: string, names: { host: string; port: number; user: string; alias: string }): string {
  const tokens: Record<string, string> = {
    '%': '%',
    d: homedir(),
    h: names.host,
    n: names.alias,
    p: String(names.port),
    r: names.user,
    u: userInfo().username,
  };
  const expanded = text.replace(/%([%dhnpru])/g, (_, token: string) => tokens[token] ?? '');
  return expanded.replace(/^~(?=\/|$)/, homedir());
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
