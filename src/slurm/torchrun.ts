import { posix } from 'node:path';

/** An argument vector that starts torchrun; its options for the nodes go between the two parts. */
export interface TorchrunWords {
  before: string[];
  after: string[];
}

// Options of python3 that have a value behind them (python3 man page).
const optionsWithValue = new Set(['-W', '-X', '--check-hash-based-pycs']);

/**
 * The user's command, started by torchrun: `python3 -u train.py` as `python3 -u -m torch.distributed.run … train.py`, with the same Python, so
 * that no torchrun has to be in PATH. A command that names torchrun itself gets the options behind its name, before the user's
 * own; any other program is started without Python (torchrun documentation, --no-python).
 */
export function renderTorchrunWords(argv: string[]): TorchrunWords {
  const named = argv.findIndex((word) => posix.basename(word) === 'torchrun');
  if (named !== -1) return split(argv, named + 1);
  const isModule = argv.findIndex((word, index) => argv[index - 1] === '-m' && word === 'torch.distributed.run');
  if (isModule !== -1) return split(argv, isModule + 1);

  const start = ['-m', 'torch.distributed.run'];
  const python = argv.findIndex((word) => /^python[\d.]*$/.test(posix.basename(word)));
  if (python === -1) return { before: ['python3', ...start], after: ['--no-python', ...argv] };
  let next = python + 1;
  for (
    let word = argv[next];
    word?.startsWith('-') && word !== '-m' && word !== '-c' && word !== '-';
    word = argv[next]
  ) {
    next += optionsWithValue.has(word) ? 2 : 1;
  }
  if (argv[next] === undefined || argv[next] === '-c' || argv[next] === '-') {
    return { before: ['python3', ...start], after: ['--no-python', ...argv] };
  }
  const { before, after } = split(argv, next);
  return { before: [...before, ...start], after: after[0] === '-m' ? ['--module', ...after.slice(1)] : after };
}

function split(argv: string[], index: number): TorchrunWords {
  return { before: argv.slice(0, index), after: argv.slice(index) };
}
