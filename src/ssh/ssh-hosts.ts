import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { isMissing } from '../errors.js';

/** A host that the user's SSH configuration has a name for. */
export interface SshHost {
  alias: string;
  /** HostName of its block, if there is one. */
  hostName: string | undefined;
}

/**
 * The hosts that `~/.ssh/config` names without a pattern, in order, those of included files among them. What holds for a host is
 * asked of `ssh -G`; this only tells which there are. Files that cannot be read are passed over, as ssh does with missing ones.
 */
export async function listSshHosts(home = homedir()): Promise<SshHost[]> {
  const directory = join(home, '.ssh');
  const hosts = await readHosts(join(directory, 'config'), directory, home, new Set());
  const seen = new Set<string>();
  return hosts.filter(({ alias }) => !seen.has(alias) && seen.add(alias));
}

async function readHosts(path: string, directory: string, home: string, read: Set<string>): Promise<SshHost[]> {
  if (read.has(path)) return [];
  read.add(path);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (
      isMissing(error) ||
      (error instanceof Error && 'code' in error && ['EACCES', 'EISDIR'].includes(String(error.code)))
    )
      return [];
    throw error;
  }
  const hosts: SshHost[] = [];
  for (const entry of parseSshHosts(text)) {
    if ('alias' in entry) hosts.push(entry);
    else {
      for (const file of await expandInclude(entry.include, directory, home))
        hosts.push(...(await readHosts(file, directory, home, read)));
    }
  }
  return hosts;
}

/** What of an SSH configuration names hosts: its blocks, and the files it includes. Exported for tests. */
export function parseSshHosts(text: string): (SshHost | { include: string })[] {
  const entries: (SshHost | { include: string })[] = [];
  let block: SshHost[] = [];
  for (const line of text.split('\n')) {
    // ssh_config man page: keyword and arguments, separated by whitespace or by one "=".
    const match = /^\s*(\w+)(?:\s*=\s*|\s+)(.*?)\s*$/.exec(line);
    const keyword = match?.[1]?.toLowerCase();
    const all = (match?.[2]?.match(/"[^"]*"|[^\s"]+/g) ?? []).map((word) => word.replaceAll('"', ''));
    const remark = all.findIndex((word) => word.startsWith('#'));
    const words = remark === -1 ? all : all.slice(0, remark);
    switch (keyword) {
      case 'host':
        block = words.filter((word) => !/[*?!]/.test(word)).map((alias) => ({ alias, hostName: undefined }));
        entries.push(...block);
        break;
      case 'match':
        block = [];
        break;
      case 'hostname':
        for (const host of block) host.hostName ??= words[0]?.replaceAll('%h', host.alias);
        break;
      case 'include':
        entries.push(...words.map((include) => ({ include })));
        break;
      case undefined:
        break;
    }
  }
  return entries;
}

/** Files of an Include: absolute, below ~, or below ~/.ssh; `*` and `?` only in the last part. */
async function expandInclude(pattern: string, directory: string, home: string): Promise<string[]> {
  const full = pattern.startsWith('~/')
    ? join(home, pattern.slice(2))
    : isAbsolute(pattern)
      ? pattern
      : join(directory, pattern);
  const name = full.split('/').at(-1) ?? '';
  if (!/[*?]/.test(name)) return [full];
  const expression = new RegExp(
    `^${name
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  );
  try {
    const files = await readdir(dirname(full));
    return files
      .filter((file) => expression.test(file))
      .sort()
      .map((file) => join(dirname(full), file));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
