import type { Command } from 'commander';
import { collect, onCluster, preparing, withExamples, type SetStatus } from './shared.js';

/** `hpcrun submit` and `hpcrun push`: everything that sends. */
export function defineSubmit(program: Command, argv: string[], setStatus: SetStatus): void {
  withExamples(
    preparing(
      onCluster(program.command('submit'))
        .summary('build the image, send it and the project to the cluster, submit a job')
        .description(
          'Builds the Dockerfile, converts the image to SIF, copies it and the project to the cluster and submits a job that runs ' +
            'SCRIPT in it. Nothing is done twice: what has not changed is used again. Options go before SCRIPT; what follows ' +
            "it belongs to the script. Behind -- stands a command of the image's; with neither, the image's own runs.",
        )
        .argument('[script-or-command...]', 'SCRIPT [ARGS…], or -- COMMAND [ARGS…]')
        .usage('[options] [SCRIPT [ARGS…] | -- COMMAND [ARGS…]]')
        .option('--wait', "show the job's output, wait for its end and exit with its status")
        .option('--dry-run', 'print the plan and the batch script; do nothing')
        .option('--name <name>', "the run's name (default: the script's)")
        .option(
          '--template <name>',
          'the shape of the job: single (the default), torchrun, mpi … (hpcrun template list)',
        )
        .option('--nodes <n>', 'nodes (with torchrun and mpi)')
        .option('--ntasks, --tasks <n>', 'tasks on all nodes together (with mpi)')
        .option(
          '--ntasks-per-node, --tasks-per-node <n>',
          "tasks on each node; with torchrun, its processes (default: a node's GPUs)",
        )
        .option('--gpus <[type:]n>', 'GPUs of each node, such as 1 or h100:2')
        .option('--cpus-per-task, --cpus <n>', 'CPU cores, of each task')
        .option('--mem, --memory <size>', 'memory of each node, such as 32G')
        .option('--mem-per-cpu <size>', 'memory for each core instead')
        .option('--mem-per-gpu <size>', 'memory for each GPU instead')
        .option('--time <limit>', 'time limit, such as 2h, 1h30m or 1-12:00:00')
        .option('--partition <name>', 'SLURM partition')
        .option('--account <name>', 'SLURM account to charge')
        .option('--qos <name>', 'quality of service')
        .option('--constraint <features>', "only nodes with these features, such as 'a100|h100'")
        .option('--reservation <name>', 'in a reservation')
        .option('--nodelist <nodes>', 'on this node')
        .option('--exclude <nodes>', 'not on these nodes')
        .option('--dependency <list>', 'after other jobs, such as afterok:4711')
        .option('--begin <time>', 'not before, such as 22:00 or now+2hours')
        .option('--mail-type <events>', 'mail from SLURM, such as END,FAIL')
        .option('--mail-user <address>', 'to whom')
        .option(
          '--sbatch-arg <option>',
          'any other option of sbatch, such as --sbatch-arg=--exclusive (repeatable)',
          collect,
        )
        .option('--resume', 'tell the script to save before the time limit, and start it anew until it ends by itself')
        .option('--no-resume', 'not so, whatever hpcrun.yaml says')
        .option('--resume-before <time>', 'so long before the limit (default: 2m, or a third of the limit)')
        .option('--max-restarts <n>', 'start it anew so often at most (default: 50)')
        .option(
          '--links <n>',
          'submit a chain of so many jobs at once, where none can be started anew (--template chain)',
        )
        .option(
          '--sweep <name=values>',
          'a task for each value, such as lr=0.1,0.01 or seed=1..5; of several, for each combination',
          collect,
        )
        .option('--sweep-file <file>', 'a task for each line of a .csv or .jsonl, or each item of a .yaml')
        .option('--max-parallel <n>', "so many of a sweep's tasks at once at most")
        .option(
          '-e, --env <name[=value]>',
          'a variable for the job; without a value, your own is taken (repeatable)',
          collect,
        ),
    )
      .passThroughOptions()
      .action(async (words: string[], options: import('../submit.js').SubmitOptions) => {
        const { submitCommand } = await import('../submit.js');
        const isCommand = words.length > 0 && argv.at(-words.length - 1) === '--';
        setStatus(await submitCommand(words, isCommand, options));
      }),
    ['hpcrun submit train.py --epochs 3', "train.py's own arguments follow it"],
    ['hpcrun submit --gpus 1 --time 2h --wait train.py', 'one GPU for two hours; wait for the end'],
    ["hpcrun submit -v '$HPCWORK/data:/data:ro' train.py", 'with a directory of the cluster'],
    ['hpcrun submit --resume --time 24h train.py', 'longer than the cluster allows: saves, and goes on'],
    ['hpcrun submit --template service --wait -- jupyter lab --port {port}', 'and the URL to open'],
    [
      'hpcrun submit --sweep lr=0.1,0.01 --sweep seed=1..5 train.py',
      'ten tasks: train.py --lr 0.1 --seed 1, and so on',
    ],
    ["hpcrun submit --sweep-file runs.csv train.py --rate '{lr}'", 'a task for each line, its values filled in'],
    ['hpcrun submit -- nvidia-smi', 'a program of the image'],
  );

  withExamples(
    onCluster(program.command('push'))
      .summary('send the image to the cluster, without a job')
      .description(
        "Builds and converts the project's image, or takes the one that is named, and copies it to the cluster, so that the next submit " +
          'finds it there. Only what no image there has is sent; a command that was cut off goes on where it stopped.',
      )
      .argument(
        '[image]',
        "an image of Docker's or Podman's, or a file that ends in .sif (default: the project's image)",
      )
      .option('--build-arg <name[=value]>', 'a build argument for the Dockerfile (repeatable)', collect)
      .option('--engine <name>', 'docker or podman (default: HPCRUN_ENGINE, hpcrun.yaml, or the one that is there)')
      .option('--convert <way>', 'how the image becomes a SIF: auto, native, apptainer, remote, slurm or registry')
      .option('--no-cache', 'convert all of the image, whatever has been converted before')
      .option('--bwlimit <rate>', 'send no faster than this, such as 2M for 2 MiB a second')
      .action(async (image: string | undefined, options: import('../push.js').PushOptions) => {
        const { pushCommand } = await import('../push.js');
        setStatus(await pushCommand(image, options));
      }),
    ['hpcrun push', "the project's image, over night"],
    ['hpcrun push --bwlimit 1M my-image', 'and leave some of the line to the others'],
  );
}
