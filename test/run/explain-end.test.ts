import { describe, expect, it } from 'vitest';
import { explainEnd, OutputTail } from '../../src/run/explain-end.js';
import type { RunStatus } from '../../src/run/status.js';
import { runRecord } from '../support/run-record.js';

const ended = (changes: Partial<RunStatus> = {}): RunStatus => ({
  record: runRecord(),
  runId: '20261122-081530-k3f9',
  jobId: '41',
  state: 'FAILED',
  exitCode: 1,
  reason: undefined,
  elapsedSeconds: 60,
  nodes: 'c1',
  startTime: undefined,
  ...changes,
});

describe('explainEnd', () => {
  it.each([
    ['OUT_OF_MEMORY', '(32G)'],
    ['TIMEOUT', '--time'],
    ['TIMEOUT', '--resume'],
    ['NODE_FAIL', '(c1)'],
    ['PREEMPTED', 'priority'],
  ])('%s', (state, words) => {
    expect(explainEnd(ended({ state, exitCode: undefined }), '')).toContain(words);
  });

  it.each([
    ["Traceback …\nModuleNotFoundError: No module named 'sklearn.svm'\n", 'module sklearn:'],
    ['RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB', 'batches smaller'],
    ['torch.cuda.OutOfMemoryError: …', 'batches smaller'],
    ['RuntimeError: CUDA error: no kernel image is available for execution on the device', 'type of GPU'],
    ['RuntimeError: The NVIDIA driver on your system is too old (found version 11040).', 'older base image'],
    ['slurmstepd: error: Detected 1 oom_kill event in StepId=4711.batch.', '--memory'],
    [
      "python3: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by libcuda.so.1)",
      'GLIBC_2.38',
    ],
    ['a.out: error while loading shared libraries: libgomp.so.1: cannot open shared object file', 'libgomp.so.1'],
    ['FATAL: kernel too old', 'newer kernel'],
    ['FATAL:   while executing: exec format error', 'image.platform'],
    ["FATAL:   container creation failed: mount source /scratch/ada/data doesn't exist", '/scratch/ada/data'],
    ['RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error.', '/dev/shm'],
    ['OSError: [Errno 28] No space left on device', 'disk or quota'],
    ["OSError: [Errno 30] Read-only file system: '/opt/cache'", '/workspace'],
    ['requests.exceptions.ConnectionError: … Temporary failure in name resolution', 'no internet'],
  ])('%j', (tail, words) => {
    expect(explainEnd(ended(), tail)).toContain(words);
  });

  it('knows whether a GPU was asked for', () => {
    const tail = 'RuntimeError: No CUDA GPUs are available';
    expect(explainEnd(ended({ record: runRecord({ resources: {} }) }), tail)).toContain('asked for no GPU');
    expect(explainEnd(ended(), tail)).toContain('nvidia-smi');
  });

  it('goes by what is said last', () => {
    const warning = 'UserWarning: CUDA is not available\n';
    const error = "ModuleNotFoundError: No module named 'nothere'\n";
    expect(explainEnd(ended(), warning + error)).toContain('module nothere');
    expect(explainEnd(ended(), error + warning)).toContain('nvidia-smi');
    expect(explainEnd(ended({ state: 'TIMEOUT' }), 'Detected 1 oom_kill event')).toContain('--time');
  });

  it('takes a kill without a word for want of memory', () => {
    expect(explainEnd(ended({ exitCode: 137 }), '')).toContain('--memory');
  });

  it.each(['COMPLETED', 'CANCELLED', 'UNKNOWN', 'RUNNING', 'PENDING'])('says nothing of a run that is %s', (state) => {
    expect(explainEnd(ended({ state, exitCode: 0 }), 'No space left on device')).toBeUndefined();
  });

  it('says nothing where nothing is known', () => {
    expect(explainEnd(ended(), 'AssertionError\n')).toBeUndefined();
  });
});

describe('OutputTail', () => {
  it('keeps the end of what passes by, whatever its pieces', () => {
    const tail = new OutputTail();
    for (const piece of ['a'.repeat(20_000), 'b'.repeat(10), 'end']) tail.push(Buffer.from(piece));
    expect(tail.text).toHaveLength(16_384);
    expect(tail.text.endsWith(`a${'b'.repeat(10)}end`)).toBe(true);
  });
});
