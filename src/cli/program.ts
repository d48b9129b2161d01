import { Command, CommanderError, Option } from 'commander';
import { HpcrunError } from '../errors.js';
import { packageVersion } from '../package-directory.js';
import { closest } from '../suggest.js';

/** Parses the command line, runs its command, and returns the exit status. */
export async function runProgram(argv: string[]): Promise<number> {
  let status = 0;
  const program = defineProgram(argv, (code) => {
    status = code;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // --help and --version have been printed and are no errors.
    if (error.exitCode === 0) return 0;
    const [message = '', ...rest] = error.message
      .replace(/^error: /, '')
      .replace(/\((Did you mean .*)\)/, '$1')
      .split('\n');
    throw new HpcrunError('USAGE', message, {
      hint: rest.join(' ').trim() || 'hpcrun --help, or hpcrun COMMAND --help',
    });
  }
  return status;
}

/** Options that commands on a cluster share. */
function onCluster(command: Command): Command {
  return command
    .option('--cluster <name>', 'the cluster to use (default: HPCRUN_CLUSTER, hpcrun.yaml, or the only one there is)')
    .option('--json', 'print one JSON object a line')
    .option('--no-input', 'never ask anything');
}

function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}

function withExamples(command: Command, ...examples: [command: string, meaning: string][]): Command {
  const width = Math.max(...examples.map(([text]) => text.length));
  const lines = examples.map(([text, meaning]) => `  $ ${text.padEnd(width)}   ${meaning}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

/** A command that only holds others: alone it shows what there is, as a mistake. */
function helpOrUnknown(command: Command, setStatus: (status: number) => void): void {
  command
    .allowExcessArguments()
    .allowUnknownOption()
    .action(() => {
      const [word] = command.args;
      if (word === undefined) {
        command.outputHelp({ error: true });
        setStatus(2);
        return;
      }
      const close = closest(
        word,
        command.commands.map((known) => known.name()),
      );
      const path = command.parent ? `${command.parent.name()} ${command.name()}` : command.name();
      throw new HpcrunError(
        'USAGE',
        `unknown ${word.startsWith('-') ? 'option' : 'command'} "${word}"${close === undefined ? '' : `; did you mean "${close}"?`}`,
        {
          hint: `${path} --help`,
        },
      );
    });
}

const runArgument = 'a run id or the beginning of one, a SLURM job id, a name, or @last';

function defineProgram(argv: string[], setStatus: (status: number) => void): Command {
  const program = new Command('hpcrun')
    .description('Runs your Dockerfile and your script on a SLURM cluster that only knows Apptainer.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
  helpOrUnknown(program, setStatus);
  withExamples(
    program,
    ['hpcrun sandbox up', 'a real SLURM cluster in containers, to try things on'],
    ['hpcrun submit --gpus 1 train.py', 'build, convert, copy and submit, in one go'],
    ['hpcrun status', 'what your runs are doing'],
    ['hpcrun pull-results', 'bring back what the last run wrote'],
  );

  withExamples(
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
      .option('--gpus <[type:]n>', 'GPUs, such as 1 or h100:2')
      .option('--cpus <n>', 'CPU cores')
      .option('--memory <size>', 'memory, such as 32G')
      .option('--time <limit>', 'time limit, such as 2h, 1h30m or 1-12:00:00')
      .option('--partition <name>', 'SLURM partition')
      .option('--account <name>', 'SLURM account to charge')
      .option(
        '-e, --env <name[=value]>',
        'a variable for the job; without a value, your own is taken (repeatable)',
        collect,
      )
      .option('-v, --volume <source:target[:ro]>', 'bind a path of the cluster, as in docker run (repeatable)', collect)
      .option('--mount <type=bind,…>', "the same in Docker's long form (repeatable)", collect)
      .option('--build-arg <name[=value]>', 'a build argument for the Dockerfile (repeatable)', collect)
      .option('--engine <name>', 'docker or podman (default: HPCRUN_ENGINE, hpcrun.yaml, or the one that is there)')
      .option('--convert <way>', 'how the image becomes a SIF: auto, native, apptainer, remote, slurm or registry')
      .option('--no-cache', 'convert all of the image, whatever has been converted before')
      .option('--bwlimit <rate>', 'send images no faster than this, such as 2M for 2 MiB a second')
      .passThroughOptions()
      .action(async (words: string[], options: import('./submit.js').SubmitOptions) => {
        const { submitCommand } = await import('./submit.js');
        const isCommand = words.length > 0 && argv.at(-words.length - 1) === '--';
        setStatus(await submitCommand(words, isCommand, options));
      }),
    ['hpcrun submit train.py --epochs 3', "train.py's own arguments follow it"],
    ['hpcrun submit --gpus 1 --time 2h --wait train.py', 'one GPU for two hours; wait for the end'],
    ["hpcrun submit -v '$HPCWORK/data:/data:ro' train.py", 'with a directory of the cluster'],
    ['hpcrun submit -- nvidia-smi', 'a program of the image'],
  );

  withExamples(
    program
      .command('run')
      .summary('try the job on this machine, in Docker or Podman')
      .description(
        'Runs the same job as submit in a container on this machine, under the rules of a cluster: not as root, with a read-only ' +
          'image and a copy of the project that holds what would be sent. Exits with the status of the job; what it wrote is in ' +
          'hpcrun-results/. No cluster is needed.',
      )
      .argument('[script-or-command...]', 'SCRIPT [ARGS…], or -- COMMAND [ARGS…]')
      .usage('[options] [SCRIPT [ARGS…] | -- COMMAND [ARGS…]]')
      .option('--dry-run', 'print the command of the engine; do nothing')
      .option('--offline', 'without a network, as on many compute nodes')
      .option('-i, --interactive', 'pass standard input on')
      .option('-t, --tty', 'with a terminal, as in -it')
      .option('--name <name>', "the container's name")
      .option('--rm', 'accepted as in docker run: the container is always removed')
      .option('--gpus <[type:]n>', 'GPUs, where this machine has some')
      .option('--cpus <n>', 'CPU cores')
      .option('--memory <size>', 'memory, such as 8G')
      // Of the cluster alone, so that a command line with submit can be tried as it is.
      .addOption(new Option('--time <limit>').hideHelp())
      .addOption(new Option('--partition <name>').hideHelp())
      .addOption(new Option('--account <name>').hideHelp())
      .addOption(new Option('--cluster <name>').hideHelp())
      .addOption(new Option('--convert <way>').hideHelp())
      .addOption(new Option('--no-cache').hideHelp())
      .addOption(new Option('--no-input').hideHelp())
      // What it does anyway.
      .addOption(new Option('--wait').hideHelp())
      .option('-e, --env <name[=value]>', 'a variable; without a value, your own is taken (repeatable)', collect)
      .option('--env-file <file>', 'variables, a name=value a line (repeatable)', collect)
      .option('-v, --volume <source:target[:ro]>', 'bind a path of this machine (repeatable)', collect)
      .option('--mount <type=bind,…>', "the same in Docker's long form (repeatable)", collect)
      .option('-w, --workdir <directory>', 'the working directory in the container')
      .option('--entrypoint <program>', "instead of the image's ENTRYPOINT")
      .option('-p, --publish <port:port>', 'a port, as in docker run (repeatable)', collect)
      .option('--build-arg <name[=value]>', 'a build argument for the Dockerfile (repeatable)', collect)
      .option('--engine <name>', 'docker or podman (default: HPCRUN_ENGINE, hpcrun.yaml, or the one that is there)')
      .option('--json', 'print one JSON object at the end')
      .passThroughOptions()
      .action(async (words: string[], options: import('./run.js').LocalRunOptions) => {
        const { runCommand } = await import('./run.js');
        const isCommand = words.length > 0 && argv.at(-words.length - 1) === '--';
        setStatus(await runCommand(words, isCommand, options));
      }),
    ['hpcrun run train.py --epochs 1', 'does it start, find its files, write where it may?'],
    ['hpcrun run -v "$PWD/sample:/data:ro" train.py', "with data of this machine in place of the cluster's"],
    ['hpcrun run --offline train.py', 'does it need the network?'],
    ['hpcrun run -it -- bash', 'look around in the container'],
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
      .action(async (image: string | undefined, options: import('./push.js').PushOptions) => {
        const { pushCommand } = await import('./push.js');
        setStatus(await pushCommand(image, options));
      }),
    ['hpcrun push', "the project's image, over night"],
    ['hpcrun push --bwlimit 1M my-image', 'and leave some of the line to the others'],
  );

  withExamples(
    onCluster(program.command('status'))
      .summary('what your runs are doing')
      .description("Shows your runs on the cluster, the newest first, with SLURM's own words for their states.")
      .argument('[runs...]', `only these: ${runArgument}`)
      .option('-n, --last <n>', 'only the n newest (default: 20 in the table, all with --json)')
      .action(async (runs: string[], options: import('./status.js').StatusOptions) => {
        const { statusCommand } = await import('./status.js');
        setStatus(await statusCommand(runs, options));
      }),
    ['hpcrun status', 'your newest runs'],
    ['hpcrun status @last --json', 'the last one, for a program'],
  );

  withExamples(
    onCluster(program.command('logs'))
      .summary("a run's output")
      .description("Prints a run's output: standard output and standard error of the job, in the order they came.")
      .argument('[run]', runArgument, '@last')
      .option('-f, --follow', 'go on until the run has ended')
      .action(async (run: string, options: import('./logs.js').LogsOptions) => {
        const { logsCommand } = await import('./logs.js');
        setStatus(await logsCommand(run, options));
      }),
    ['hpcrun logs', 'what the last run has printed so far'],
    ['hpcrun logs -f train', 'follow the newest run named train'],
  );

  withExamples(
    onCluster(program.command('wait'))
      .summary('wait for a run to end and exit with its status')
      .description(
        "Waits until a run has ended and exits with the job's own exit status; 124 for a time limit, 137 for too little " +
          'memory, 143 for a cancelled job.',
      )
      .argument('[run]', runArgument, '@last')
      .action(async (run: string, options: import('./context.js').CommonOptions) => {
        const { waitCommand } = await import('./wait.js');
        setStatus(await waitCommand(run, options));
      }),
    ['hpcrun wait && hpcrun pull-results', 'results as soon as they are complete'],
  );

  withExamples(
    onCluster(program.command('cancel'))
      .summary('cancel runs')
      .description('Cancels runs with scancel and says which. Runs that have ended are left alone.')
      .argument('<runs...>', runArgument)
      .action(async (runs: string[], options: import('./context.js').CommonOptions) => {
        const { cancelCommand } = await import('./cancel.js');
        setStatus(await cancelCommand(runs, options));
      }),
    ['hpcrun cancel @last', 'the run submitted last'],
    ['hpcrun cancel 4711 4712', 'by SLURM job id'],
  );

  withExamples(
    onCluster(program.command('pull-results'))
      .summary('bring back what a run wrote')
      .description(
        'Copies here what a run created or changed in its project directory. Files that are here already are not copied again. ' +
          'Nothing outside of the target directory is ever written, whatever the run left behind.',
      )
      .argument('[run]', runArgument, '@last')
      .option('--to <directory>', 'where to (default: hpcrun-results/<run id> in the project)')
      .action(async (run: string, options: import('./pull-results.js').PullOptions) => {
        const { pullResultsCommand } = await import('./pull-results.js');
        setStatus(await pullResultsCommand(run, options));
      }),
    ['hpcrun pull-results', 'of the last run'],
    ['hpcrun pull-results train --to best', 'of the newest run named train, into best/'],
  );

  defineImages(program, setStatus);
  defineSandbox(program.command('sandbox'), setStatus);
  return program;
}

function defineImages(program: Command, setStatus: (status: number) => void): void {
  withExamples(
    program
      .command('convert')
      .summary('make an Apptainer image (SIF) of a Docker image')
      .description(
        'Converts an image of Docker or Podman to one SIF file. Needs no Apptainer, no cluster and no root. An image that resembles ' +
          'one converted before is converted as what differs, which becomes a second partition of the file.',
      )
      .argument('<image>', 'a name or id; it is pulled if it is not here')
      .argument('[output]', 'the file to write, such as out.sif')
      .option('--engine <name>', 'docker or podman (default: HPCRUN_ENGINE, hpcrun.yaml, or the one that is there)')
      .option('--compression <name>', 'gzip, which every cluster reads, or zstd, which is smaller and faster', 'gzip')
      .option('--permissions <how>', 'open: everybody may read what the owner may; keep: as in the image', 'open')
      .option('--platform <os/arch>', 'of an image that has to be pulled, such as linux/amd64')
      .option('--no-overlays', 'make one partition, whatever has been converted before')
      .option('--no-cache', 'convert all of it, whatever has been converted before, and keep nothing')
      .option('--force', 'replace the output if it exists')
      .option('--report', 'print what differs from docker run, what hpcrun does about it and what you can do')
      .option('--json', 'print one JSON object a line')
      .action(async (image: string, output: string | undefined, options: import('./convert.js').ConvertOptions) => {
        const { convertCommand } = await import('./convert.js');
        setStatus(await convertCommand(image, output, options));
      }),
    ['hpcrun convert debian:12 debian.sif', 'then: apptainer exec debian.sif …'],
    ['hpcrun convert --no-overlays my-image my.sif', 'one that runs where overlays cannot be mounted, too'],
    ['hpcrun convert --report my-image', 'only what will be different on a cluster'],
  );
  withExamples(
    program
      .command('images')
      .summary('the images converted on this machine')
      .description('Shows the images that have been converted here and are kept, the one used last first.')
      .option('--json', 'print one JSON object a line')
      .action(async (options: import('./context.js').CommonOptions) => {
        const { imagesCommand } = await import('./images.js');
        setStatus(await imagesCommand(options));
      }),
    ['hpcrun images', 'names, sizes, and when they were used'],
  );
  withExamples(
    program
      .command('prune')
      .summary('remove converted images from this machine')
      .description(
        'Removes converted images from this machine, the ones used longest ago first, until the cache fits its limit. Nothing is lost: ' +
          'they can be converted again. Images of Docker and of clusters are not touched.',
      )
      .option('--older-than <time>', 'all that were not used for so long, such as 30d')
      .option('--all', 'all of them')
      .option('--dry-run', 'only say what would go')
      .option('--json', 'print one JSON object a line')
      .action(async (options: import('./images.js').PruneOptions) => {
        const { pruneCommand } = await import('./images.js');
        setStatus(await pruneCommand(options));
      }),
    ['hpcrun prune --older-than 30d', 'what was not used for a month'],
  );
}

function defineSandbox(sandbox: Command, setStatus: (status: number) => void): void {
  sandbox
    .summary('a real SLURM cluster in containers on this machine')
    .description(
      'A SLURM cluster with Apptainer in Docker containers: a login node and compute nodes with two GPU devices each. Everywhere a cluster is named, it is called "sandbox".',
    )
    .helpCommand(false);
  helpOrUnknown(sandbox, setStatus);
  withExamples(sandbox, ['hpcrun sandbox up', 'start it'], ['hpcrun sandbox down', 'remove it']);
  withExamples(
    sandbox
      .command('up')
      .summary('start it')
      .description(
        'Starts the cluster and returns when its nodes are idle. The first time, its image is built, which takes a few minutes.',
      )
      .option('--nodes <n>', 'compute nodes (default: 2)')
      .option('--no-accounting', 'without slurmdbd, as on clusters where sacct does not work')
      .option('--install-engine', 'on Debian or Ubuntu as root: install and start Docker and what else is missing')
      .option('--json', 'print one JSON object a line')
      .action(async (options: import('./sandbox.js').SandboxUpOptions) => {
        const { sandboxUpCommand } = await import('./sandbox.js');
        setStatus(await sandboxUpCommand(options));
      }),
    ['hpcrun sandbox up --nodes 4', 'with four compute nodes'],
  );
  withExamples(
    sandbox
      .command('status')
      .summary('whether it runs')
      .description('Shows the nodes of the cluster and how to log in.')
      .option('--json', 'print one JSON object a line')
      .action(async (options: { json?: boolean }) => {
        const { sandboxStatusCommand } = await import('./sandbox.js');
        setStatus(await sandboxStatusCommand(options));
      }),
    ['hpcrun sandbox status', 'its nodes and their states'],
  );
  withExamples(
    sandbox
      .command('down')
      .summary('remove it')
      .description(
        'Removes the cluster with everything it made: containers, network, volumes, key, images and the runs on it.',
      )
      .option('--keep-images', 'keep the images, so that the next "up" takes seconds')
      .option('--json', 'print one JSON object a line')
      .action(async (options: { json?: boolean; keepImages?: boolean }) => {
        const { sandboxDownCommand } = await import('./sandbox.js');
        setStatus(await sandboxDownCommand(options));
      }),
    ['hpcrun sandbox down --keep-images', 'keep what takes long to build'],
  );
}
