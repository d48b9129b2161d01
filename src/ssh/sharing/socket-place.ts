import { createHash } from 'node:crypto';
import { lstat, readFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { HpcrunError, isMissing } from '../../errors.js';

/** sun_path is 104 bytes on macOS, 108 on Linux, the terminating zero included. */
const maximumPathBytes = 103;
const longestName = 'new.4194304';

/** Where the holder of one cluster's connection is found: a directory of the user's alone. */
export interface SocketPlace {
  directory: string;
  socket: string;
  /** 0600; whoever can read it may use the connection. */
  token: string;
  /** JSON: process id, and what the socket is for. */
  info: string;
  lock: string;
}

export interface PlaceInputs {
  env: NodeJS.ProcessEnv;
  /** hpcrun's directory for state. */
  stateDirectory: string;
}

/** The directories that sockets may be in, the best first: those of the runtime directory, of hpcrun's state, of /tmp. */
export function socketBases({ env, stateDirectory }: PlaceInputs): string[] {
  const runtime = env.XDG_RUNTIME_DIR;
  return [
    ...(runtime !== undefined && isAbsolute(runtime) ? [join(runtime, 'hpcrun')] : []),
    join(stateDirectory, 'connections'),
    join(tmpdir(), `hpcrun-${ownUid()}`),
  ];
}

/**
 * The place for a connection. Another configuration has another place, and so have another state directory and another machine
 * that shares the home directory. Throws SHARED_CONNECTION_FAILED if no path is short enough for a socket.
 * @param identity the cluster's name and all that decides where and as whom one is logged in
 */
export function socketPlace(inputs: PlaceInputs, identity: unknown): SocketPlace {
  const text = JSON.stringify([hostname(), inputs.stateDirectory, identity]);
  const key = createHash('sha256').update(text).digest('hex').slice(0, 20);
  for (const base of socketBases(inputs)) {
    const directory = join(base, key);
    if (Buffer.byteLength(join(directory, longestName)) <= maximumPathBytes) return placeIn(directory);
  }
  throw new HpcrunError(
    'SHARED_CONNECTION_FAILED',
    `every path for a socket is longer than ${maximumPathBytes} bytes`,
    {
      hint: 'Set XDG_RUNTIME_DIR to a short directory of your own (mode 0700).',
    },
  );
}

export function placeIn(directory: string): SocketPlace {
  const path = (name: string) => join(directory, name);
  return { directory, socket: path('socket'), token: path('token'), info: path('info'), lock: path('lock') };
}

/**
 * Whether there is a socket that this user alone can have made. Throws SHARED_CONNECTION_UNSAFE if somebody else has, or may
 * have: what is sent there holds secrets.
 */
export async function hasSocket({ directory, socket, token }: SocketPlace): Promise<boolean> {
  if (!(await checkDirectory(directory)) || !(await checkOwn(socket, 'socket', 0o177))) return false;
  return await checkOwn(token, 'file', 0o177);
}

/** Throws SHARED_CONNECTION_UNSAFE for a directory of a place that is not the user's alone. False if it is not there. */
export async function checkDirectory(directory: string): Promise<boolean> {
  // Whoever owns the directory above could put another one there between the look and the use.
  return (await checkOwn(dirname(directory), 'directory', 0o077)) && (await checkOwn(directory, 'directory', 0o077));
}

async function checkOwn(path: string, kind: 'directory' | 'socket' | 'file', forbidden: number): Promise<boolean> {
  let found;
  try {
    found = await lstat(path);
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
  const isKind = { directory: found.isDirectory(), socket: found.isSocket(), file: found.isFile() }[kind];
  if (!isKind) throw unsafe(path, `it is not a ${kind}`);
  if (found.uid !== ownUid()) throw unsafe(path, `it belongs to the user with id ${found.uid}`);
  if ((found.mode & forbidden) !== 0)
    throw unsafe(path, `others may use it (mode ${(found.mode & 0o777).toString(8)})`);
  return true;
}

function unsafe(path: string, why: string): HpcrunError {
  return new HpcrunError('SHARED_CONNECTION_UNSAFE', `hpcrun does not use ${path}: ${why}`, {
    hint: 'Somebody else may have put it there. Look at it, remove it, and run: hpcrun connect',
  });
}

export async function readToken({ token }: SocketPlace): Promise<string | undefined> {
  try {
    return await readFile(token, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** -1 where users have no numbers; there, nothing is shared. */
function ownUid(): number {
  return process.getuid?.() ?? -1;
}
