import { HpcrunError } from '../errors.js';
import { printable } from '../ssh/terminal-text.js';

/**
 * Shell lines for when sbatch has refused a job for want of an account: they print `account NAME` for each account the user has
 * (sacctmgr man page, associations). `words` is the shell command that prints what sbatch said.
 */
export function renderAccountQuestion(words: string): string {
  return `if ${words} | grep -qi account && command -v sacctmgr >/dev/null; then
  sacctmgr -n -P show assoc user="$(id -un)" format=account </dev/null 2>/dev/null | sort -u | sed -n 's/^[A-Za-z0-9_.@+-][A-Za-z0-9_.@+-]*$/account &/p'
fi`;
}

/** The error for a job that sbatch refused: SLURM's own words, and what to change. `output` may hold accounts, as asked for above. */
export function explainRefusal(stderr: string, output: string): HpcrunError {
  const said = printable(stderr.trim());
  return new HpcrunError('SLURM_REFUSED', said || 'sbatch failed without a message', {
    hint: chooseHint(said, readAccounts(output)),
  });
}

function readAccounts(output: string): string[] {
  return [...output.matchAll(/^account ([\w.@+-]+)$/gm)].map((match) => match[1] ?? '');
}

function chooseHint(said: string, accounts: string[]): string {
  if (/--mem\b|\bmemory\b/i.test(said)) {
    return 'Leave out --memory, and "memory:" under "resources:" in hpcrun.yaml, if the cluster does not let jobs choose it; otherwise ask for less.';
  }
  if (/policy|QOSMax|AssocMax|AssocGrp|QOSGrp/i.test(said)) {
    return 'Your account or its quality of service (QOS) allows less than this. Ask for less time, memory or GPUs, or wait until other jobs of yours have ended; "sacctmgr show qos" on the login node shows the limits.';
  }
  if (/\bqos\b/i.test(said)) {
    return 'Name a quality of service of yours with --qos, or as "qos:" under "resources:" in hpcrun.yaml; "sacctmgr show assoc user=$USER format=account,qos" on the login node lists them.';
  }
  if (/account/i.test(said)) {
    const [first] = accounts;
    return first === undefined
      ? 'Name an account of yours with --account, or as "account:" under "resources:" in hpcrun.yaml; "sacctmgr show assoc user=$USER" on the login node lists them.'
      : `Your accounts there: ${accounts.join(', ')}. Choose one: --account ${first}, or "account:" under "resources:" in hpcrun.yaml.`;
  }
  return 'Partitions and their limits: "sinfo" on the login node; choose with --partition, --account, --time, --gpus, --memory.';
}
