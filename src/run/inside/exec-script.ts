import type { RunLayout } from '../../cluster/layout.js';
import { quote, quoteAll } from '../../ssh/quote.js';
import { scriptPrelude } from '../../ssh/remote-script.js';
import { carriedInput, nodeScript, onTerminal } from './node-script.js';

/** The scripts' own exit status where there is no running job; picked from the range sysexits.h leaves free. */
export const notRunningStatus = 93;

export interface ExecRequest {
  run: RunLayout;
  command: string[];
  /** TERM of the terminal it runs on; undefined for none. */
  terminal: string | undefined;
  /** Whether the job lasts as long as the command. */
  holds?: boolean | undefined;
}

/**
 * The script, for the login node, that runs a command in a container like the job's, beside the job on its first node. Without a
 * terminal, its input is what `ControlledInput` sends.
 */
export function renderExec({ run, command, terminal, holds = false }: ExecRequest): string {
  const script = nodeScript(run, { terminal, holds }) + (terminal === undefined ? carriedInput : onTerminal);
  const options = terminal === undefined ? '--unbuffered' : '--pty';
  const step = `in_step ${options} env -i PATH=/usr/local/bin:/usr/bin:/bin bash -c ${quote(script)} hpcrun ${quoteAll(command)}`;
  return `${scriptPrelude}${stepFunctions(run)}find_job
# That a command ends with a status of its own is no error of srun's.
exec 4>&1
status=$({ { ${step} 3>&- 4>&-; echo $? >&3; } 2>&1 >&4 4>&- | sed -u '/^srun: error: [^ ]*: task 0: Exited with exit code [0-9]*\\r*$/d' >&2; } 3>&1)
exit "\${status:-255}"
`;
}

/**
 * Shell functions: `find_job` sets job and node, or ends the script with notRunningStatus; `in_step` runs something on that node in a
 * step of the job's, beside everything else it does. Of the jobs that the run's receipt names, it is the one that runs.
 */
export function stepFunctions({ state }: RunLayout): string {
  return `find_job() {
  find_slurm || { echo 'hpcrun: there is no srun command on this login node' >&2; exit 255; }
  for name in $(env | sed -n 's/^\\(S\\(LURM\\|BATCH\\|QUEUE\\|RUN\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do
    [ "$name" = SLURM_CONF ] || unset "$name"
  done
  jobs=
  while read -r receipt rest; do jobs=$jobs,\${receipt%%;*}; done <${quote(`${state}/receipt`)}
  found=$(squeue -h -j "\${jobs#,}" -t RUNNING -o '%A %B' </dev/null 2>/dev/null | head -n 1)
  job=\${found%% *} node=\${found#* }
  case $node in ''|n/a|N/A) exit ${notRunningStatus} ;; esac
}
in_step() {
  # Before SLURM 20.11, steps shared what there is without being told to.
  overlap=
  if srun --help 2>/dev/null </dev/null | grep -q -e --overlap; then overlap=--overlap; fi
  # All of the job's memory, processors and GPUs on the node, as the job itself has them (srun man page).
  srun -Q --jobid="$job" $overlap -N1 -n1 -w "$node" --mem=0 --cpu-bind=none "$@"
}
`;
}
