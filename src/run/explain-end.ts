import { RemoteLayout } from '../cluster/layout.js';
import { formatDuration } from '../progress.js';
import { isEnded } from '../slurm/states.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import type { RunRecord } from './record.js';
import type { Session } from './session.js';
import type { RunStatus } from './status.js';

/** So much of the end of a job's output is looked at; bytes. */
const tailBytes = 16_384;

/** Keeps the end of what passes by. */
export class OutputTail {
  private bytes: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk.subarray(-tailBytes)]).subarray(-tailBytes);
  }

  get text(): string {
    return this.bytes.toString('utf8');
  }
}

/** The end of a run's output; empty if it has written nothing. */
export async function readTail(session: Session, record: RunRecord): Promise<string> {
  const { log } = new RemoteLayout(record.root, record.store).run(record.runId);
  const script = `[ -e ${quote(log)} ] || exit 0\ntail -c ${tailBytes} ${quote(log)}\n`;
  const { stdout } = await runRemote(await session.connect(), 'reading the end of the log', script, {
    signal: session.signal,
  });
  return stdout.toString('utf8');
}

/** Whether it has failed, so that its output may tell why. */
export function mayBeExplained({ state }: RunStatus): boolean {
  return isEnded(state) && state !== 'COMPLETED' && state !== 'CANCELLED';
}

interface Cause {
  /** What the job's output says. */
  says: RegExp;
  mend: (record: RunRecord, match: RegExpExecArray) => string;
}

// What is said last is taken; of two that fit the same words, the first.
const causes: Cause[] = [
  {
    says: /CUDA out of memory|torch\.(?:cuda\.)?OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY|HIP out of memory/,
    mend: () =>
      "The GPU's own memory was used up: make batches smaller, or ask for a GPU with more of it (--gpus TYPE:1).",
  },
  {
    says: /no kernel image is available for execution on the device/,
    mend: () =>
      "The image's libraries do not know this type of GPU: take a newer base image, or another GPU (--gpus TYPE:1).",
  },
  {
    says: /CUDA driver version is insufficient|driver on your system is too old/,
    mend: () =>
      'The image\'s CUDA is newer than the driver of the node: take an older base image; "hpcrun doctor" shows the driver.',
  },
  {
    says: /No CUDA GPUs are available|no CUDA-capable device|Found no NVIDIA driver|CUDA is not available|No HIP GPUs are available/i,
    mend: ({ resources }) =>
      (resources.gpus?.count ?? 0) > 0
        ? 'The job had a GPU that the program could not use: "hpcrun submit --gpus 1 -- nvidia-smi" shows what it sees.'
        : 'The job asked for no GPU: --gpus 1.',
  },
  {
    says: /use_libuv was requested but PyTorch was built? without libuv/,
    mend: () =>
      "The image's PyTorch is built without libuv (Debian's is), and torchrun cannot meet with it: take PyTorch from pip, or an image of PyTorch's.",
  },
  {
    says: /ModuleNotFoundError: No module named '([\w.]+)'/,
    mend: (_, [, name = '']) =>
      `The image has no Python module ${name.split('.')[0] ?? name}: add it to the Dockerfile; if it is a file of your project, was it left out by .gitignore or .hpcrunignore?`,
  },
  {
    says: /version `(GLIBC_[\d.]+)' not found/,
    mend: (_, [, version = '']) =>
      `A library wants ${version}, which the image does not have; if it is one of the host's GPU libraries, take a newer base image.`,
  },
  {
    says: /error while loading shared libraries: (\S+):/,
    mend: (_, [, library = '']) => `The image has no ${library}: install the package that has it in the Dockerfile.`,
  },
  {
    says: /FATAL: kernel too old/,
    mend: () => "The image's C library wants a newer kernel than the node has: take an older base image.",
  },
  {
    says: /exec format error/i,
    mend: () => 'The image, or a program in it, is for another kind of processor: set image.platform in hpcrun.yaml.',
  },
  {
    says: /mount source (\S+) doesn't exist|while mounting .*?(\/\S+).*no such file or directory/i,
    mend: (_, [, one, other]) =>
      `${one ?? other ?? 'A bind'} is not there on the compute node: binds need paths that compute nodes have ("hpcrun doctor" checks them).`,
  },
  {
    says: /unable to open shared memory object|DataLoader worker .* (?:Bus error|killed by signal)/,
    mend: () =>
      'Shared memory (/dev/shm) ran out, which counts as memory of the job: use fewer loader processes, or ask for more --memory.',
  },
  {
    says: /No space left on device|Disk quota exceeded/i,
    mend: () =>
      'A disk or quota was full. /tmp and the home directory in a job are on the node\'s own disk and go with the job; "hpcrun doctor" shows how much is left on the cluster.',
  },
  {
    says: /Read-only file system/i,
    mend: ({ mount }) =>
      `The image itself cannot be written to: write below ${mount}, to /tmp, or into a directory bound with -v.`,
  },
  {
    says: /Temporary failure in name resolution|Name or service not known|Network is unreachable|Could not resolve host/i,
    mend: () =>
      'Compute nodes often have no internet: fetch data and models before, bind them with -v, and set trackers to offline (WANDB_MODE, HF_HUB_OFFLINE).',
  },
];

/**
 * Why a run ended as it did and what mends it, in a sentence, from SLURM's state and the end of its output; undefined if nothing
 * better is known than what both say themselves. Pure.
 */
export function explainEnd(run: RunStatus, tail: string): string | undefined {
  const { record, state, exitCode } = run;
  const { memory, time } = record.resources;
  if (!mayBeExplained(run)) return undefined;
  const given = memory === undefined ? '' : ` (${memory})`;
  const needsMemory = `It needed more memory than it was given${given}: ask for more with --memory.`;
  if (state === 'OUT_OF_MEMORY') return needsMemory;
  if (state === 'TIMEOUT' || state === 'DEADLINE') {
    const limit = time === undefined ? '' : `, ${formatDuration(time)},`;
    return `Its time limit${limit} was over: ask for more with --time, or save what it has reached and go on with --resume (docs/long-work.md).`;
  }
  if (state === 'NODE_FAIL' || state === 'BOOT_FAIL' || state === 'LAUNCH_FAILED') {
    const where = run.nodes === undefined ? '' : ` (${run.nodes})`;
    return `The node failed${where}, not the job: submit it again, if need be with --exclude.`;
  }
  if (state === 'PREEMPTED') return 'A job with more priority took its place: submit it again.';
  if (/oom[-_ ]kill/i.test(tail)) return needsMemory;
  const found = causes.flatMap(({ says, mend }) => {
    const match = [...tail.matchAll(new RegExp(says, `g${says.flags}`))].at(-1);
    return match ? [{ at: match.index, match, mend }] : [];
  });
  const last = found.reduce<(typeof found)[number] | undefined>(
    (best, each) => (best && best.at >= each.at ? best : each),
    undefined,
  );
  if (last) return last.mend(record, last.match);
  if (exitCode === 137) return 'It was killed, which is most often for want of memory: ask for more with --memory.';
  return undefined;
}
