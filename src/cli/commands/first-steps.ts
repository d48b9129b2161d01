import type { Command } from 'commander';
import { onCluster, withExamples, type SetStatus } from './shared.js';

/** `hpcrun init` and `hpcrun doctor`. */
export function defineFirstSteps(program: Command, setStatus: SetStatus): void {
  withExamples(
    onCluster(program.command('init'))
      .summary('write hpcrun.yaml for the project in this directory')
      .description(
        'Writes a commented hpcrun.yaml: the Dockerfile, a cluster of your config.yaml or ~/.ssh/config, the site it belongs to, and the ' +
          'partition, account and GPUs that the cluster offers. Asks little; with --no-input nothing. A file that is there is not replaced unasked.',
      )
      .option('--site <name>', "the cluster's site, such as claix; docs/sites.md lists them")
      .option('--no-login', 'do not ask the cluster for its partitions and accounts')
      .option('--force', 'replace the hpcrun.yaml that is there')
      .action(async (options: import('../init.js').InitOptions) => {
        const { initCommand } = await import('../init.js');
        setStatus(await initCommand(options));
      }),
    ['hpcrun init', 'look around, ask, and write hpcrun.yaml'],
    ['hpcrun init --site claix', 'for a cluster of RWTH Aachen'],
    ['hpcrun init --no-input', 'take what is likeliest'],
  );
  withExamples(
    onCluster(program.command('doctor'))
      .summary('check everything a submit needs, and say how to mend it')
      .description(
        'Looks at this machine, the login, SLURM, storage, a container in a small job, and whether the cluster has what the project asks for. ' +
          'Says for everything that is wrong how to mend it. Ends with 0 if nothing is broken, otherwise with the status a submit would end with.',
      )
      .option('--no-job', 'do not run a small job')
      .option('--patience <time>', 'how long the small job may wait in the queue before it is cancelled (default: 2m)')
      .action(async (options: import('../doctor.js').DoctorOptions) => {
        const { doctorCommand } = await import('../doctor.js');
        setStatus(await doctorCommand(options));
      }),
    ['hpcrun doctor', 'is everything as it should be?'],
    ['hpcrun doctor --no-job', 'without a job, within seconds'],
    ['hpcrun doctor --patience 1h', 'where the queue is long'],
  );
}
