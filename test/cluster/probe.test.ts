import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expandRemotePath, renderProbe, variableNames } from '../../src/cluster/probe.js';
import { failureOf } from '../support/failure.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

const facts = {
  home: '/home/ada',
  architecture: 'amd64',
  variables: { WORK: '/scratch/ada', A_1: 'x', EMPTY: '', ODD: '/a$b' },
};

describe('variableNames', () => {
  it.each([
    [['~/hpcrun'], []],
    [
      ['$WORK/a', '${SCRATCH}/b/$USER', '$WORK'],
      ['WORK', 'SCRATCH', 'USER'],
    ],
    [
      ['/a$b_1-c', '$$x', '${1}', '$1', '${a b}'],
      ['b_1', 'x'],
    ],
  ])('%j mention %j', (paths, names) => {
    expect(variableNames(paths)).toEqual(names);
  });
});

describe('expandRemotePath', () => {
  it.each([
    ['/data', '/data'],
    ['/data//', '/data'],
    ['/', '/'],
    ['~', '/home/ada'],
    ['~/', '/home/ada'],
    ['~/a b', '/home/ada/a b'],
    ['/a/~/b', '/a/~/b'],
    ['$WORK', '/scratch/ada'],
    ['${WORK}/x', '/scratch/ada/x'],
    ['/data/${A_1}y/$A_1/z', '/data/xy/x/z'],
    // What a variable holds is not expanded again.
    ['$ODD/c', '/a$b/c'],
  ])('%s is %s', (path, expected) => {
    expect(expandRemotePath(path, facts, 'claix')).toBe(expected);
  });

  it.each([
    ['$MISSING/x', 'VARIABLE_MISSING', '$MISSING'],
    ['$EMPTY/x', 'VARIABLE_MISSING', '$EMPTY'],
    ['/x/${WORKS}', 'VARIABLE_MISSING', '$WORKS'],
    ['~bob/x', 'CONFIG_INVALID', '~bob/x'],
    ['$A_1/y', 'CONFIG_INVALID', 'x/y'],
    ['', 'CONFIG_INVALID', 'claix'],
  ])('refuses %j', async (path, code, message) => {
    const error = await failureOf(() => expandRemotePath(path, facts, 'claix'));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });
});

describe.each(['/bin/sh', 'bash'])('renderProbe under %s', (shell) => {
  const probe = (names: string[], env: Record<string, string>) => {
    const { stdout, status } = runShell(shell, `set -u\n${renderProbe(names)}`, { env });
    expect(status).toBe(0);
    return stdout.split('\0').slice(0, -1);
  };

  it('tells home directory, machine and the variables that were asked for, in order', () => {
    const machine = runShell('/bin/sh', 'uname -m').stdout.trim();
    expect(probe(['B', 'A'], { HOME: '/home/ada', A: '/a b', B: "/it's\n$x" })).toEqual([
      '/home/ada',
      machine,
      "/it's\n$x",
      '/a b',
    ]);
    expect(probe([], { HOME: '/home/ada' })).toEqual(['/home/ada', machine]);
  });

  it('asks the login shell for what is not set otherwise, past what its start-up files print', async () => {
    const home = await makeTemporaryDirectory();
    await writeTree(home, {
      '.profile': 'echo "Welcome"\necho "hpcrun-value=/wrong"\nexport WORK="/scratch/ada"\nSET=/from-profile\n',
    });
    const values = probe(['WORK', 'SET', 'NEITHER'], { HOME: home, SHELL: '/bin/sh', SET: '/from-outside' });
    expect(values.slice(2)).toEqual(['/scratch/ada', '/from-outside', '']);
  });

  it('leaves what is set nowhere empty, even without a login shell', async () => {
    const home = await makeTemporaryDirectory();
    expect(probe(['NEITHER'], { HOME: home }).slice(2)).toEqual(['']);
    expect(probe(['NEITHER'], { HOME: home, SHELL: join(home, 'missing') }).slice(2)).toEqual(['']);
  });
});
