import type { Identity } from './local-container.js';

/** Where the job's private home directory is; on the cluster it is under the user's own name there. */
export function homeDirectory({ name }: Identity): string {
  return `/home/${name}`;
}

/**
 * Who the container runs as: never root, which no job is. Root on this machine becomes who has called sudo, or user 1000.
 * An engine without root is the exception: there root inside is the user outside, and the only one who may write to
 * what the user has made; it has no capabilities and no more rights than the user.
 */
export function resolveIdentity(
  caller: { uid: number | undefined; gid: number | undefined; name: string },
  env: NodeJS.ProcessEnv,
  runsAsRootInside: boolean,
): Identity {
  const named = (uid: number, gid: number, name: string): Identity => ({
    uid,
    gid,
    name: name.replaceAll(/[^\w.-]+/g, '-').replace(/^[-.]+/, '') || 'user',
  });
  if (runsAsRootInside) return named(0, 0, caller.name);
  if (caller.uid !== undefined && caller.uid !== 0) return named(caller.uid, caller.gid ?? caller.uid, caller.name);
  const uid = Number(env.SUDO_UID ?? 0);
  const gid = Number(env.SUDO_GID ?? 0);
  if (uid > 0 && gid > 0) return named(uid, gid, env.SUDO_USER ?? 'user');
  return named(1000, 1000, 'user');
}

/**
 * The image's /etc/passwd with the user in it, as Apptainer makes it: an entry with the same number keeps its name and
 * gets the private home directory. Without it, what asks for the user's name would fail here and work in the job.
 */
export function renderPasswd(image: string, identity: Identity): string {
  const home = homeDirectory(identity);
  const lines = linesOf(image);
  const own = lines.findIndex((line) => line.split(':')[2] === String(identity.uid));
  const [name = identity.name, password = 'x', uid = identity.uid, gid = identity.gid, comment = ''] =
    lines[own]?.split(':') ?? [];
  const entry = [name, password, uid, gid, comment, home, '/bin/sh'].join(':');
  if (own === -1) lines.push(entry);
  else lines[own] = entry;
  return `${lines.join('\n')}\n`;
}

/** The image's /etc/group with the user's group in it. */
export function renderGroup(image: string, { gid, name }: Identity): string {
  const lines = linesOf(image);
  if (!lines.some((line) => line.split(':')[2] === String(gid))) lines.push(`${name}:x:${gid}:`);
  return `${lines.join('\n')}\n`;
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
