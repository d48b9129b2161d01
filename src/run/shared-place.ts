import type { ResolvedCluster } from '../config/cluster.js';
import type { Directories } from '../config/directories.js';
import type { ConnectionTarget } from '../ssh/open-connection.js';
import { socketPlace, type SocketPlace } from '../ssh/sharing/socket-place.js';

/** What of a cluster's configuration decides where and as whom one logs in. */
export function connectionTarget(cluster: ResolvedCluster): ConnectionTarget {
  const { host, port, user, identityFile, knownHostsFile, proxyJump, transport, isSandbox, authentication } = cluster;
  return {
    ...{ host, port, user, identityFile, knownHostsFile, proxyJump, transport },
    isolated: isSandbox,
    authenticationOrder: authentication,
  };
}

/** Where the connection of `hpcrun connect` to a cluster is found; undefined on systems whose users have no numbers. */
export function sharedPlace(
  cluster: ResolvedCluster,
  directories: Directories,
  env: NodeJS.ProcessEnv,
): SocketPlace | undefined {
  if (process.getuid === undefined) return undefined;
  return socketPlace({ env, stateDirectory: directories.state }, [cluster.name, connectionTarget(cluster)]);
}
