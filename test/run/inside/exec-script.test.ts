import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RemoteLayout } from '../../../src/cluster/layout.js';
import { notRunningStatus, renderExec, stepFunctions } from '../../../src/run/inside/exec-script.js';
import { runShell } from '../../support/shell.js';
import { makeTemporaryDirectory } from '../../support/temporary-directory.js';

const runId = '20261122-081530-k3f9';

async function makeRun(receipt: string) {
  const run = new RemoteLayout(await makeTemporaryDirectory(), undefined).run(runId);
  await mkdir(run.state, { recursive: true });
  await writeFile(join(run.state, 'receipt'), receipt);
  return run;
}

// /bin/sh is one or the other, and they differ in what a redirection beside an assignment means.
describe.each(['dash', 'bash', 'bash --posix'])('the script of exec, with %s', (shell) => {
  it('has the two outputs and the status of the step', async () => {
    const run = await makeRun('41 1790000000\n');
    // The step itself, which needs SLURM, is what the integration tests run.
    const script = renderExec({ run, command: ['true'], terminal: undefined }).replace(
      /^find_job$/m,
      'find_job() { :; }; in_step() { echo out; echo "srun: error: c1: task 0: Exited with exit code 7" >&2; echo err >&2; return 7; }\nfind_job',
    );
    const [program = '', ...options] = shell.split(' ');
    const { stdout, stderr, status } = runShell(
      '/bin/sh',
      `${program} ${options.join(' ')} <<'script'\n${script}\nscript`,
    );
    expect({ stdout, stderr, status }).toEqual({ stdout: 'out\n', stderr: 'err\n', status: 7 });
  });
});

describe('find_job', () => {
  const find = async (receipt: string, squeue: string) => {
    const run = await makeRun(receipt);
    const script = `find_slurm() { :; }
squeue() { echo "$3" >&2; ${squeue}; }
${stepFunctions(run)}
find_job
echo "$job on $node"`;
    return runShell('/bin/sh', script);
  };

  it('takes the one that runs of the jobs of a chain', async () => {
    expect(await find('41 1790000000\n42;claix 1790000000\n43 1790000000\n', 'echo 42 c7')).toMatchObject({
      stdout: '42 on c7\n',
      stderr: '',
      status: 0,
    });
  });

  it.each(['true', 'echo 41 n/a'])('says that none runs: %s', async (squeue) => {
    expect((await find('41 1790000000\n', squeue)).status).toBe(notRunningStatus);
  });
});
