import { Command, CommanderError, Option } from 'commander';
import { HpcrunError } from '../errors.js';
import { packageVersion } from '../package-directory.js';
import { quirks } from '../sandbox/quirks.js';
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
      .addOption(new Option('--qos <name>').hideHelp())
      .addOption(new Option('--constraint <features>').hideHelp())
      .addOption(new Option('--reservation <name>').hideHelp())
      .addOption(new Option('--nodelist <nodes>').hideHelp())
      .addOption(new Option('--exclude <nodes>').hideHelp())
      .addOption(new Option('--dependency <list>').hideHelp())
      .addOption(new Option('--begin <time>').hideHelp())
      .addOption(new Option('--mail-type <events>').hideHelp())
      .addOption(new Option('--mail-user <address>').hideHelp())
      .addOption(new Option('--sbatch-arg <option>').argParser(collect).hideHelp())
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
    onCluster(program.command('show'))
      .summary('all that is known of a run')
      .description(
        'Shows the state of a run, what it asked for, was given and used, its command, image, code and variables (their names only), and ' +
          'where it came from.',
      )
      .argument('[run]', runArgument, '@last')
      .option('--script', 'print its batch script instead')
      .option('--diff', 'print what was uncommitted in its project instead, as a patch')
      .action(async (run: string, options: import('./show.js').ShowOptions) => {
        const { showCommand } = await import('./show.js');
        setStatus(await showCommand(run, options));
      }),
    ['hpcrun show', 'the last run'],
    ['hpcrun show --diff baseline | git apply', 'the code that a run ran'],
    ['hpcrun show --json k3f9', 'for a script, with the whole record'],
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
      .argument('[runs...]', `${runArgument} (default: @last)`)
      .option(
        '--to <directory>',
        'where to (default: hpcrun-results/<run id> in the project); of several runs, <run id> in it',
      )
      .option('--include <pattern>', 'only what matches, as in .gitignore (repeatable)', collect)
      .option('--exclude <pattern>', 'not what matches, as in .gitignore (repeatable)', collect)
      .option('--max-size <size>', 'leave larger files there, such as 500M')
      .option('--live', 'also files that are still being written, as they are')
      .option('--watch', 'go on while the run goes on, and end with it')
      .option('--bwlimit <rate>', 'bytes a second at most, such as 2M')
      .action(async (runs: string[], options: import('./pull-results.js').PullResultsOptions) => {
        const { pullResultsCommand } = await import('./pull-results.js');
        setStatus(await pullResultsCommand(runs.length === 0 ? ['@last'] : runs, options));
      }),
    ['hpcrun pull-results', 'of the last run'],
    ['hpcrun pull-results train --to best', 'of the newest run named train, into best/'],
    ["hpcrun pull-results --exclude '*.ckpt'", 'all but the checkpoints'],
    ['hpcrun pull-results --watch', 'while it runs, until it has ended'],
  );

  defineFirstSteps(program, setStatus);
  defineConnection(program, setStatus);
  defineImages(program, setStatus);
  defineSandbox(program.command('sandbox'), setStatus);
  return program;
}

function defineFirstSteps(program: Command, setStatus: (status: number) => void): void {
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
      .action(async (options: import('./init.js').InitOptions) => {
        const { initCommand } = await import('./init.js');
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
      .action(async (options: import('./doctor.js').DoctorOptions) => {
        const { doctorCommand } = await import('./doctor.js');
        setStatus(await doctorCommand(options));
      }),
    ['hpcrun doctor', 'is everything as it should be?'],
    ['hpcrun doctor --no-job', 'without a job, within seconds'],
    ['hpcrun doctor --patience 1h', 'where the queue is long'],
  );
}

function defineConnection(program: Command, setStatus: (status: number) => void): void {
  withExamples(
    onCluster(program.command('connect'))
      .summary('log in once for all commands that follow')
      .description(
        'Logs in to the cluster and keeps the connection in the background, so that a password or second factor is asked for once. Every ' +
          'command uses it while it is there, from any terminal. It ends when nobody has used it for a while, or with "hpcrun disconnect".',
      )
      .option('--idle <time>', 'end it when it was not used for so long (default: 4h)')
      .option('--for <time>', 'end it after so long in any case, such as 10h')
      .option('--status', 'only say whether there is one and how long it lasts; ends with 8 if there is none')
      .action(async (options: import('./connect.js').ConnectOptions) => {
        const { connectCommand } = await import('./connect.js');
        setStatus(await connectCommand(options));
      }),
    ['hpcrun connect', 'one login, and one second factor, for all that follows'],
    ['hpcrun connect --for 10h', 'but no longer than a working day'],
    ['hpcrun connect --status', 'is there one, and how long does it last?'],
  );
  withExamples(
    onCluster(program.command('disconnect'))
      .summary('end the connection that "hpcrun connect" keeps')
      .description('Ends the kept connection to the cluster. Commands that use it just now are cut off.')
      .option('--all', 'those to all clusters')
      .action(async (options: import('./disconnect.js').DisconnectOptions) => {
        const { disconnectCommand } = await import('./disconnect.js');
        setStatus(await disconnectCommand(options));
      }),
    ['hpcrun disconnect --all', 'before the laptop is lent to somebody'],
  );
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
    onCluster(program.command('images'))
      .summary("what the cluster's store holds and costs")
      .description(
        "Shows the images in the cluster's store, the one used last first: their sizes, how many runs use them, and who. With --local, " +
          'the ones that have been converted on this machine.',
      )
      .option('--local', 'what has been converted on this machine')
      .option('--verify', 'read every image and compare it with its checksum; set aside what is damaged')
      .action(async (options: import('./images.js').ImagesOptions) => {
        const { imagesCommand } = await import('./images.js');
        setStatus(await imagesCommand(options));
      }),
    ['hpcrun images', 'names, sizes, and what uses them'],
    ['hpcrun images --verify', 'after a disk of the cluster has failed'],
  );
  withExamples(
    onCluster(program.command('rmi'))
      .summary("remove images from the cluster's store")
      .description(
        'Removes images from the cluster, never one that a pending or running job uses. They are sent again when a run needs them.',
      )
      .argument('<images...>', 'names, ids or beginnings of ids, as "hpcrun images" shows them')
      .option('--force', 'also what runs that are kept there have used')
      .option('-y, --yes', 'do not ask')
      .action(async (images: string[], options: import('./rmi.js').RmiOptions) => {
        const { rmiCommand } = await import('./rmi.js');
        setStatus(await rmiCommand(images, options));
      }),
    ['hpcrun rmi 5e1f0c', 'by the beginning of its id'],
  );
  withExamples(
    onCluster(program.command('prune'))
      .summary('remove what nothing needs, on the cluster and here')
      .description(
        'Shows and removes what takes room for nothing: images that no run uses and nobody has used for 30 days, unused code, damaged ' +
          'images, abandoned uploads, what interrupted commands left behind, and the images converted here that are too much for the ' +
          'cache. What a pending or running job needs is never touched, and runs only go with --older-than.',
      )
      .option('--older-than <time>', 'images that were not used, and runs that ended, so long ago, such as 30d')
      .option('--all', 'all unused images and uploads, however young; all converted images here')
      .option('--local', 'only on this machine')
      .option('--dry-run', 'only say what would go')
      .option('-y, --yes', 'do not ask')
      .action(async (options: import('./prune.js').PruneOptions) => {
        const { pruneCommand } = await import('./prune.js');
        setStatus(await pruneCommand(options));
      }),
    ['hpcrun prune --dry-run', 'what would go'],
    ['hpcrun prune --older-than 30d', 'old runs and their results, too'],
    ['hpcrun prune --local --older-than 30d', 'what was converted here and not used for a month'],
  );
}

function quirkLines(): string {
  return Object.entries(quirks)
    .map(([name, { summary }]) => `  ${name.padEnd(24)}${summary}`)
    .join('\n');
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
      .option('--quirk <name>', 'make it like clusters people have met (repeatable; the list is below)', collect)
      .option('--install-engine', 'on Debian or Ubuntu as root: install and start Docker and what else is missing')
      .option('--json', 'print one JSON object a line')
      .action(async (options: import('./sandbox.js').SandboxUpOptions) => {
        const { sandboxUpCommand } = await import('./sandbox.js');
        setStatus(await sandboxUpCommand(options));
      })
      .addHelpText('after', () => `\nQuirks:\n${quirkLines()}`),
    ['hpcrun sandbox up --nodes 4', 'with four compute nodes'],
    ['hpcrun sandbox up --quirk tcsh --quirk key-totp', 'an unusual login shell, and a one-time code at the login'],
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
