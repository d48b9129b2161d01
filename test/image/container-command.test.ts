import { describe, expect, it } from 'vitest';
import { resolveContainerCommand, type RequestedCommand } from '../../src/image/container-command.js';
import { failureOf } from '../support/failure.js';

const script = (path: string, ...args: string[]): RequestedCommand => ({
  kind: 'script',
  path,
  isExecutable: false,
  args,
});
const program = (path: string, ...args: string[]): RequestedCommand => ({
  kind: 'script',
  path,
  isExecutable: true,
  args,
});
const command = (...argv: string[]): RequestedCommand => ({ kind: 'command', argv });

describe('resolveContainerCommand', () => {
  it.each<[string, RequestedCommand, string[], string[], string[]]>([
    ['a Python script', script('train.py', '--lr', '0.1 x'), [], ['bash'], ['python3', 'train.py', '--lr', '0.1 x']],
    ['a shell script', script('run.sh'), [], [], ['sh', 'run.sh']],
    ['a bash script', script('run.bash'), [], [], ['bash', 'run.bash']],
    ['an R script', script('fit.R'), [], [], ['Rscript', 'fit.R']],
    ['a Julia script', script('fit.jl'), [], [], ['julia', 'fit.jl']],
    ['a Perl script', script('fit.pl'), [], [], ['perl', 'fit.pl']],
    ['an executable Python script', program('train.py'), [], [], ['python3', 'train.py']],
    ['a script in a subdirectory', script('src/train.py'), [], [], ['python3', 'src/train.py']],
    ['a script above', script('../train.py'), [], [], ['python3', '../train.py']],
    ['a program', program('run', 'a'), [], [], ['./run', 'a']],
    ['a program in a subdirectory', program('bin/run.bin'), [], [], ['./bin/run.bin']],
    ['a script that looks like an option', script('-c.py'), [], [], ['python3', './-c.py']],
    ['a wrapper as ENTRYPOINT', script('train.py'), ['tini', '--'], [], ['tini', '--', 'python3', 'train.py']],
    ['a wrapper before a program', program('run'), ['tini', '--'], [], ['tini', '--', './run']],
    ['an interpreter as ENTRYPOINT', script('train.py', 'x'), ['python3'], [], ['python3', 'train.py', 'x']],
    ['its own Python as ENTRYPOINT', script('a.py'), ['/opt/bin/python3.11'], [], ['/opt/bin/python3.11', 'a.py']],
    ['python without a version', script('a.py'), ['python'], [], ['python', 'a.py']],
    ['an interpreter with options', script('a.py'), ['python3', '-u'], [], ['python3', '-u', 'python3', 'a.py']],
    ['another interpreter', script('a.py'), ['/bin/sh'], [], ['/bin/sh', 'python3', 'a.py']],
    ['a command', command('nvidia-smi', '-L'), [], ['bash'], ['nvidia-smi', '-L']],
    ['a command behind ENTRYPOINT', command('-L'), ['nvidia-smi'], ['bash'], ['nvidia-smi', '-L']],
    ["the image's ENTRYPOINT and CMD", { kind: 'image' }, ['python3'], ['serve.py'], ['python3', 'serve.py']],
    ["the image's CMD", { kind: 'image' }, [], ['python3', 'serve.py'], ['python3', 'serve.py']],
    ["the image's ENTRYPOINT", { kind: 'image' }, ['/init'], [], ['/init']],
  ])('%s', (_, requested, entrypoint, imageCommand, expected) => {
    expect(resolveContainerCommand(requested, { entrypoint, command: imageCommand })).toEqual(expected);
  });

  it('fails for an image without a command', async () => {
    const error = await failureOf(() => resolveContainerCommand({ kind: 'image' }, { entrypoint: [], command: [] }));
    expect(error.code).toBe('COMMAND_MISSING');
  });

  it.each(['data.csv', 'Makefile', 'train.PY', '.py'])('does not know how to run %s', async (path) => {
    const error = await failureOf(() => resolveContainerCommand(script(path), { entrypoint: [], command: [] }));
    expect(error.code).toBe('COMMAND_MISSING');
    expect(error.message).toContain(path);
    expect(error.hint).toContain('chmod +x');
  });
});
