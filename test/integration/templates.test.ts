import { execa } from 'execa';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { packageDirectory } from '../../src/package-directory.js';
import { errorOf, hpcrun, makeProject, makePythonProject } from './lab.js';

/** One image for both: PyTorch and mpi4py from Debian's packages, about 1.7 GB. */
const ranksImage = 'hpcrun-test/ranks';
const ranksDockerfile = `ARG BASE_IMAGE=debian:trixie-slim
FROM \${BASE_IMAGE}
RUN apt-get update \\
 && apt-get install -y --no-install-recommends python3-torch python3-mpi4py \\
 && rm -rf /var/lib/apt/lists/*
# Debian's PyTorch is built without libuv, and yet asks for it where torchrun meets.
ENV USE_LIBUV=0
RUN cd /usr/lib/python3/dist-packages/torch/distributed \\
 && sed -i 's/multi_tenant=True,/& use_libuv=False,/' elastic/rendezvous/static_tcp_rendezvous.py \\
 && sed -i 's/is_master=False,/& use_libuv=False,/' rendezvous.py
`;

const files = {
  'hpcrun.yaml': `cluster: sandbox\nimage: { name: ${ranksImage} }\n`,
  // A million numbers, so that more than the first packets go from rank to rank.
  'all_reduce.py': `import os, sys, torch, torch.distributed as dist
dist.init_process_group("gloo")
numbers = torch.full((1_000_000,), float(dist.get_rank() + 1))
dist.all_reduce(numbers)
sums = {int(number) for number in numbers.unique()}
print(f"rank {dist.get_rank()} of {dist.get_world_size()} on {os.uname().nodename}: {sums} {sys.argv[1:]}", flush=True)
dist.destroy_process_group()
`,
  'reduce.py': `import array
from mpi4py import MPI
world = MPI.COMM_WORLD
numbers = array.array("d", [world.rank + 1.0]) * 1_000_000
world.Allreduce(MPI.IN_PLACE, numbers, op=MPI.SUM)
print(f"rank {world.rank} of {world.size} on {MPI.Get_processor_name()}: { {int(number) for number in numbers} }", flush=True)
`,
  'one-fails.py': `import os, sys, time
if os.environ["SLURM_PROCID"] == "1":
    sys.exit(3)
time.sleep(600)
`,
};

const linesOf = (text: string) =>
  text
    .split('\n')
    .filter((line) => line.includes('rank '))
    .sort();

describe('a job on two nodes', () => {
  let project: string;

  beforeAll(async () => {
    await execa('docker', ['build', '--tag', ranksImage, '-'], { input: ranksDockerfile });
    project = await makeProject(files);
    const pushed = await hpcrun(['push'], { cwd: project });
    expect(pushed.stderr).not.toContain('hpcrun:');
    expect(pushed.exitCode).toBe(0);
  }, 900_000);

  it('adds up with torchrun and gloo, two processes a node', async () => {
    const words = [
      'submit',
      '--wait',
      '--template',
      'torchrun',
      '--nodes',
      '2',
      '--tasks-per-node',
      '2',
      '--name',
      'gloo',
    ];
    const { exitCode, stdout } = await hpcrun([...words, 'all_reduce.py', 'a b'], { cwd: project });
    expect(linesOf(stdout)).toEqual([
      `0: [default0]:rank 0 of 4 on c1: {10} ['a b']`,
      `0: [default1]:rank 1 of 4 on c1: {10} ['a b']`,
      `1: [default0]:rank 2 of 4 on c2: {10} ['a b']`,
      `1: [default1]:rank 3 of 4 on c2: {10} ['a b']`,
    ]);
    expect(exitCode).toBe(0);
    const { stdout: one } = await hpcrun(['logs', '--rank', '3', 'gloo'], { cwd: project });
    expect(linesOf(one)).toEqual([`rank 3 of 4 on c2: {10} ['a b']`]);
  });

  it('adds up with MPI, two tasks a node', async () => {
    const words = ['submit', '--wait', '--template', 'mpi', '--nodes', '2', '--ntasks-per-node', '2', '--name', 'mpi'];
    const { exitCode, stdout } = await hpcrun([...words, 'reduce.py'], { cwd: project });
    expect(linesOf(stdout)).toEqual([
      '0: rank 0 of 4 on c1: {10}',
      '1: rank 1 of 4 on c1: {10}',
      '2: rank 2 of 4 on c2: {10}',
      '3: rank 3 of 4 on c2: {10}',
    ]);
    expect(exitCode).toBe(0);
    const { stdout: one } = await hpcrun(['logs', '-f', '--rank', '2', 'mpi'], { cwd: project });
    expect(one).toBe('rank 2 of 4 on c2: {10}');
  });

  it('ends with the status of the task that fails', async () => {
    const words = ['submit', '--wait', '--json', '--template', 'mpi', '--nodes', '2'];
    const { objects } = await hpcrun([...words, 'one-fails.py'], { cwd: project });
    const ended = objects.at(-1);
    expect(ended).toMatchObject({ type: 'run', state: 'FAILED' });
    expect(ended?.exitCode).not.toBe(0);
  });

  it('needs a template for it', async () => {
    const refused = await hpcrun(['submit', '--json', '--nodes', '2', 'reduce.py'], { cwd: project });
    expect(refused.exitCode).toBe(2);
    expect(errorOf(refused).message).toContain('--template torchrun or --template mpi');
  });
});

describe("a template of the project's own", () => {
  it('is ejected, edited, used, and refused where SLURM would pass over something', async () => {
    const project = await makePythonProject({ 'a.py': 'print("a")\n' });
    const ejected = await hpcrun(['template', 'eject', 'single'], { cwd: project });
    const path = join(project, 'slurm-templates', 'single.sbatch.ejs');
    expect(ejected.stdout).toBe(path);
    expect(errorOf(await hpcrun(['template', 'eject', '--json', 'single'], { cwd: project })).code).toBe(
      'OUTPUT_EXISTS',
    );

    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('\ncommand+=(', '\necho "edited on $(hostname)"\ncommand+=('));
    const { stdout, exitCode } = await hpcrun(['submit', '--wait', 'a.py'], { cwd: project });
    expect(stdout).toMatch(/^edited on c[12]\na$/m);
    expect(exitCode).toBe(0);

    await writeFile(path, text.replace('\ncommand+=(', '\n#SBATCH --mem=1G\ncommand+=('));
    const refused = await hpcrun(['submit', '--json', 'a.py'], { cwd: project });
    expect(refused.exitCode).toBe(2);
    const line = text.split('\n').findIndex((each) => each.startsWith('command+=(')) + 1;
    expect(errorOf(refused)).toMatchObject({ code: 'TEMPLATE_INVALID' });
    expect(errorOf(refused).message).toContain(`${path}:${line}: #SBATCH`);

    await writeFile(path, `${text}echo <%= nobody %>\n`);
    const unknown = errorOf(await hpcrun(['submit', '--json', '--dry-run', 'a.py'], { cwd: project }));
    expect(unknown.code).toBe('TEMPLATE_INVALID');
    expect(unknown.message).toContain('hpcrun has no value nobody');
  });
});

describe('the scripts of all templates', () => {
  it('have nothing shellcheck would warn of', async (context) => {
    const { exitCode } = await execa('shellcheck', ['--version'], { reject: false });
    if (exitCode !== 0) context.skip('shellcheck could not be installed');
    const golden = join(packageDirectory(), 'test', 'golden');
    const scripts = (await readdir(golden)).filter((name) => name.endsWith('.sbatch'));
    // Which files are sourced is known on the node only (SC1090).
    const { stdout } = await execa(
      'shellcheck',
      ['--severity=warning', '--exclude=SC1090', '--format=gcc', ...scripts],
      {
        cwd: golden,
        reject: false,
      },
    );
    expect(stdout).toBe('');
    expect(scripts.length).toBeGreaterThan(5);
  });
});
