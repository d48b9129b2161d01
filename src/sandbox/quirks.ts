import { HpcrunError } from '../errors.js';
import { closest } from '../suggest.js';

export interface Quirk {
  /** For people: what is unusual. */
  summary: string;
  /** Of one group, a cluster has at most one. */
  group?: 'login shell' | 'second factor';
}

/**
 * The ways in which a sandbox can be made like clusters that people have met. All but `gateway` and `no-accounting`, which shape
 * the sandbox, can be switched while it runs, by sandbox/quirk.sh on each of its nodes.
 */
export const quirks = {
  tcsh: { summary: 'login shell tcsh', group: 'login shell' },
  fish: { summary: 'login shell fish', group: 'login shell' },
  zsh: { summary: 'login shell zsh', group: 'login shell' },
  'bash-sh': { summary: '/bin/sh is bash, as on Red Hat and SUSE' },
  'noisy-rc': { summary: 'start-up files of the shell print 2 KB on both outputs' },
  'slow-rc': { summary: 'start-up files of the shell sleep 5 s' },
  'exec-rc': { summary: '~/.bashrc replaces bash by zsh, which forgets the command it was to run' },
  modules: { summary: 'the commands of SLURM and Apptainer come with "module load" only' },
  'compute-only-apptainer': { summary: 'no Apptainer on the login node' },
  singularity: { summary: 'Apptainer is called singularity only' },
  'key-totp': { summary: 'login with a key and a one-time code', group: 'second factor' },
  'password-totp': { summary: 'login with a password and a one-time code', group: 'second factor' },
  gateway: { summary: 'the login node is reached through another host only' },
  'no-sftp': { summary: 'sshd has no SFTP subsystem' },
  'max-sessions-1': { summary: 'sshd allows one session a connection' },
  'max-startups-1': { summary: 'sshd talks to one client that has not logged in yet' },
  'reject-mem': { summary: 'SLURM refuses jobs that ask for memory' },
  'require-account': { summary: 'SLURM refuses jobs that name no account' },
  'no-accounting': { summary: 'without slurmdbd, as with --no-accounting' },
  'other-home': { summary: 'the home directory is /data/home/USER' },
} as const satisfies Record<string, Quirk>;

export type QuirkName = keyof typeof quirks;

export const quirkNames = Object.keys(quirks) as QuirkName[];

/** The named quirks in the table's order, each once. Throws USAGE for an unknown one and for two that exclude each other. */
export function parseQuirks(names: string[]): QuirkName[] {
  for (const name of names) {
    if (Object.hasOwn(quirks, name)) continue;
    const close = closest(name, quirkNames);
    throw new HpcrunError('USAGE', `there is no quirk "${name}"${close ? `; did you mean "${close}"?` : ''}`, {
      hint: `There are: ${quirkNames.join(', ')}`,
    });
  }
  const chosen = quirkNames.filter((name) => names.includes(name));
  const seen = new Map<string, QuirkName>();
  for (const name of chosen) {
    const { group }: Quirk = quirks[name];
    if (group === undefined) continue;
    const other = seen.get(group);
    if (other) {
      throw new HpcrunError('USAGE', `${other} and ${name} exclude each other: a cluster has one ${group}`, {
        hint: `Leave one out: hpcrun sandbox up --quirk ${name}`,
      });
    }
    seen.set(group, name);
  }
  return chosen;
}
