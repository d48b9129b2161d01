import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { resolveCluster } from '../config/cluster.js';
import { loadProject } from '../config/project.js';
import { isMissing } from '../errors.js';
import { sharedPlace } from '../run/shared-place.js';
import { placeIn, socketBases, type SocketPlace } from '../ssh/sharing/socket-place.js';
import { clearPlace, removePlace, withPlace } from '../ssh/sharing/start-holder.js';
import { makeContext, type CommonOptions } from './context.js';
import { printJson } from './output.js';

export interface DisconnectOptions extends CommonOptions {
  all?: boolean;
}

/** `hpcrun disconnect`. */
export async function disconnectCommand(options: DisconnectOptions): Promise<number> {
  const { cwd, env, directories, terminal, signal } = makeContext(options);
  let places: SocketPlace[];
  let what = 'all clusters';
  if (options.all) places = await findPlaces(socketBases({ env, stateDirectory: directories.state }));
  else {
    const cluster = await resolveCluster({ directories, env, project: await loadProject(cwd), flag: options.cluster });
    const place = sharedPlace(cluster, directories, env);
    places = place ? [place] : [];
    what = cluster.name;
  }
  let ended = 0;
  for (const place of places) {
    if (await withPlace(place, signal, () => clearPlace(place))) ended += 1;
    await removePlace(place);
  }
  if (options.json) printJson({ type: 'disconnected', ended });
  else terminal.note(ended === 0 ? `No connection to ${what} was kept.` : `The connection to ${what} has ended.`);
  return 0;
}

async function findPlaces(bases: string[]): Promise<SocketPlace[]> {
  const places: SocketPlace[] = [];
  for (const base of bases) {
    try {
      const names = (await readdir(base)).filter((name) => /^[0-9a-f]{20}$/.test(name));
      places.push(...names.map((name) => placeIn(join(base, name))));
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  return places;
}
