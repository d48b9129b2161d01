import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderDirectives, type ResumeRules } from '../../src/slurm/directives.js';
import { renderJobScript, type JobScript } from '../../src/slurm/job-script.js';
import { loadTemplate } from '../../src/slurm/templates.js';
import { quote } from '../../src/ssh/quote.js';
import { minimalScript } from '../support/job-script.js';
import { findProgram, runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

function scriptWith(resume: Partial<ResumeRules>, changes: Partial<JobScript> = {}): JobScript {
  return {
    ...minimalScript,
    head: {
      ...minimalScript.head,
      resources: { time: 3600 },
      resume: { beforeSeconds: 120, signal: 'TERM', maxRestarts: 50, ...resume },
    },
    ...changes,
  };
}

const cases: [string, string, JobScript][] = [
  ['resume', 'single', scriptWith({}, { sbatch: 'sbatch.tinygpu' })],
  ['chain', 'chain', scriptWith({ links: 3, signal: 'USR1' })],
];

describe('the script of a job that goes on after its time limit', () => {
  it.each(cases)('is %s.sbatch', async (name, template, script) => {
    const text = renderJobScript(await loadTemplate(template), script);
    await expect(text).toMatchFileSnapshot(`../golden/${name}.sbatch`);
    expect(runShell('bash', 'exec bash -n', { input: text })).toEqual({ stdout: '', stderr: '', status: 0 });
  });

  it.for(cases)('has nothing that shellcheck warns of: %s', async ([, template, script], { skip }) => {
    if (findProgram('shellcheck') === undefined) skip('shellcheck is not installed (apt-get install shellcheck)');
    const text = renderJobScript(await loadTemplate(template), script);
    expect(runShell('bash', 'exec shellcheck -S warning -s bash -', { input: text }).stdout).toBe('');
  });

  it('lets the user say that a job is not to be put back into the queue', () => {
    const { head } = scriptWith({});
    expect(renderDirectives(head)).toContain('--requeue');
    const refused = {
      ...head,
      resources: { ...head.resources, sbatchArgs: [{ name: 'no-requeue', value: undefined }] },
    };
    expect(renderDirectives(refused)).toContain('--no-requeue');
    expect(renderDirectives(refused)).not.toContain('--requeue');
    expect(renderDirectives(scriptWith({ links: 2 }).head)).not.toContain('--requeue');
  });
});

/** Says so when SIGTERM comes, and ends. */
const catcher = `
import { spawn } from 'node:child_process';
const [name, ...below] = process.argv.slice(2);
const child = below.length > 0 ? spawn(process.execPath, [process.argv[1], ...below], { stdio: 'inherit' }) : undefined;
process.on('SIGTERM', () => {
  console.log(name + ' was told');
  child?.kill('SIGKILL');
  process.exit(75);
});
console.log('ready');
setInterval(() => {}, 1000);
`;

describe('the signal', () => {
  /**
   * Starts a command as a job does, below processes that stand for Apptainer's own; waits until "ready" stands in its output so often;
   * sends the signal as the job script does; and returns what all of them have written.
   */
  async function tell(command: string, ready: number): Promise<string> {
    const directory = await makeTemporaryDirectory();
    await writeFile(join(directory, 'catcher.mjs'), catcher);
    const text = renderJobScript(await loadTemplate('single'), scriptWith({}));
    const functions = text.slice(text.indexOf('\nsignal_script() {'), text.indexOf('\n# Called while the script runs'));
    const script = `${functions}
cd ${directory}
node=${process.execPath}
export node
# They wait for the signal, too, and have not the variables of the run.
"$node" catcher.mjs mount >>log &
mount=$!
bash -c 'trap "echo runtime was told" TERM
  HPCRUN_RUN_ID=20261122-081530-k3f9 bash -c "$1" &
  until wait; do :; done' runtime ${quote(command)} >>log 2>&1 &
pid=$!
until [ "$(grep -c ready log)" = ${ready + 1} ]; do sleep 0.1; done
signal_script TERM 2>>log
wait "$pid"
kill -KILL "$mount"
grep -v ready log`;
    return runShell('bash', script).stdout;
  }

  it.each([
    ['a script', 'exec "$node" catcher.mjs script', 1, 'script was told\n'],
    [
      'a script in a shell',
      '"$node" catcher.mjs script; echo "it ended with $?"',
      1,
      'script was told\nit ended with 75\n',
    ],
    [
      'a script in a shell that would do something itself',
      'trap "echo shell was told" TERM; "$node" catcher.mjs script; echo "it ended with $?"',
      1,
      'script was told\nit ended with 75\n',
    ],
    ['a script, not what it has started', 'exec "$node" catcher.mjs script worker', 2, 'script was told\n'],
    ['one of two in a pipe', '"$node" catcher.mjs script | cat; echo "${PIPESTATUS[*]}"', 1, 'script was told\n75 0\n'],
    [
      'a shell alone',
      'trap "echo shell was told; exit" TERM; echo ready; while :; do sleep 0.1; done',
      1,
      'shell was told\n',
    ],
    [
      'nothing that waits for it',
      'echo ready; exec sleep 600',
      1,
      'hpcrun: nothing in the container waits for SIGTERM; it is stopped\n',
    ],
  ])('reaches %s', async (_, command, ready, expected) => {
    expect(await tell(command, ready)).toBe(expected);
  });
});
