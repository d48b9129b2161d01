import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** Where hpcrun keeps its own files on this machine, after the XDG Base Directory Specification. */
export interface Directories {
  /** config.yaml: the user's own clusters. */
  config: string;
  /** Run records, what is known of each cluster, the sandbox's key. */
  state: string;
  /** Converted images; may be deleted at any time. */
  cache: string;
}

export function resolveDirectories(env: NodeJS.ProcessEnv): Directories {
  const home = env.HOME ?? homedir();
  // The specification says that relative values are to be ignored.
  const base = (name: string, fallback: string) => {
    const value = env[name];
    return join(value !== undefined && isAbsolute(value) ? value : join(home, fallback), 'hpcrun');
  };
  return {
    config: base('XDG_CONFIG_HOME', '.config'),
    state: base('XDG_STATE_HOME', '.local/state'),
    cache: base('XDG_CACHE_HOME', '.cache'),
  };
}
