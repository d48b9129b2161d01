import { settingsFrom, type HostSettings } from '../../src/ssh/ssh-config.js';

/** The defaults for a host, without anything of this machine's own. */
export function hostSettings(changes: Partial<HostSettings> = {}): HostSettings {
  return {
    ...settingsFrom(new Map(), { host: 'login.example.org', user: 'ada' }, {}),
    alias: 'claix',
    identityFiles: [],
    knownHostsFiles: [],
    ...changes,
  };
}
