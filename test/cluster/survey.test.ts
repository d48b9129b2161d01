import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { learnSurvey, parseSurvey } from '../../src/cluster/survey.js';
import { renderSurvey } from '../../src/cluster/survey-script.js';
import { parseAccounts, parseGres, parseLimits, parsePartitions } from '../../src/cluster/survey-slurm.js';
import type { ResolvedCluster } from '../../src/config/cluster.js';
import { packageDirectory } from '../../src/package-directory.js';
import { renderSlurmCommands, withSlurmCommands } from '../../src/slurm/slurm-commands.js';
import { scriptPrelude } from '../../src/ssh/remote-script.js';
import { runShell } from '../support/shell.js';
import { ShellConnection } from '../support/shell-connection.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

/** What the script printed on a login node of the sandbox. */
const captured = await readFile(join(packageDirectory(), 'test', 'captured', 'survey-sandbox.txt'), 'utf8');
const capturedAt = Number(captured.split('\n')[5]);

describe('parseSurvey', () => {
  it('reads what a login node said', () => {
    expect(parseSurvey(captured, capturedAt - 7)).toEqual({
      architecture: 'amd64',
      kernel: '6.12.57+deb13-amd64',
      host: 'login',
      shell: '/bin/bash',
      clockAheadSeconds: 7,
      user: 'researcher',
      groups: ['researcher'],
      places: { HOME: '/home/researcher' },
      modules: [],
      slurm: {
        found: 'path',
        version: '24.11.5',
        commands: ['sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'sinfo', 'sacctmgr', 'srun'],
        hasAccounting: true,
        maxArraySize: 1001,
        maxJobCount: 10000,
        partitions: [
          expect.objectContaining({
            ...{ name: 'batch', isDefault: true, isUp: true, nodes: 2, usableNodes: 2, cpus: 2 },
            ...{ maxSeconds: 604800, defaultSeconds: 3600, gpus: [{ count: 2 }] },
          }) as unknown,
          expect.objectContaining({ name: 'devel', isDefault: false, maxSeconds: 600, nodes: 1 }) as unknown,
        ],
        accounts: [{ name: 'research', qos: ['normal'] }],
        complaints: [],
      },
      container: { path: '/usr/bin/apptainer', version: 'apptainer version 1.4.5', isSetuid: false },
      hasUserNamespaces: true,
      mksquashfs: '4.6.1',
      root: { existing: '/home/researcher/hpcrun', isWritable: true },
      space: expect.objectContaining({ freeBytes: expect.any(Number) as unknown }) as unknown,
    });
  });

  it('says what is missing and complains where a command fails, and goes on', () => {
    const text = captured
      .replace(
        /(section sinfo\n)[^]*?(hpcrun-survey section partitions\n)/,
        '$1slurm_load_partitions: Unable to contact slurm controller\nhpcrun-survey status 1\n$2',
      )
      .replace(/(section container\n)[^]*?(hpcrun-survey section namespaces\n)/, '$1$2');
    const { slurm, container } = parseSurvey(text, capturedAt);
    expect(container).toBeUndefined();
    expect(slurm.partitions).toEqual([]);
    expect(slurm.complaints).toEqual(['slurm_load_partitions: Unable to contact slurm controller']);
  });

  it('reads what the script says where there is neither SLURM nor Apptainer', async () => {
    const home = await makeTemporaryDirectory();
    const { stdout, stderr, status } = runShell('/bin/sh', `${scriptPrelude}${renderSurvey(`${home}/far/below`)}`, {
      env: { HOME: home, SHELL: '/bin/sh', PATH: '/usr/bin:/bin' },
    });
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    const survey = parseSurvey(stdout, Date.now() / 1000);
    expect(survey.root).toEqual({ existing: home, isWritable: true });
    expect(survey.places.HOME).toBe(home);
  });
});

describe('a survey of a site with its own names for SLURM', () => {
  it('knows which of them are there', async () => {
    const home = await makeTemporaryDirectory();
    const commands = { sbatch: 'true', squeue: 'no-such-squeue', sinfo: 'no-such-sinfo' };
    const script = `${renderSlurmCommands({ commands })}${scriptPrelude}${renderSurvey(home)}`;
    const { stdout } = runShell('/bin/sh', script, { env: { HOME: home, SHELL: '/bin/sh', PATH: '/usr/bin:/bin' } });
    expect(parseSurvey(stdout, Date.now() / 1000).slurm).toMatchObject({ found: 'path', commands: ['sbatch'] });
  });

  it('is not kept where something could not be found out, nor for other names', async () => {
    const home = await makeTemporaryDirectory();
    const bin = join(home, 'bin');
    const connection = new ShellConnection({ env: { HOME: home, SHELL: '/bin/sh', PATH: `${bin}:/usr/bin:/bin` } });
    const cluster = (sbatch: string): ResolvedCluster => ({
      ...{ name: 'c', host: 'c', root: home, pollSeconds: 60, stateDirectory: home, isSandbox: false, site: undefined },
      slurm: { commands: { sbatch } },
    });
    const options = { refresh: false, signal: new AbortController().signal };
    const ask = (sbatch: string) =>
      learnSurvey(
        cluster(sbatch),
        home,
        () => Promise.resolve(withSlurmCommands(connection, { commands: { sbatch } })),
        options,
      );

    expect((await ask('sbatch.here')).slurm.found).toBe('none');
    // It has come in the meantime; and so have the other commands.
    const names = ['sbatch.here', 'sinfo', 'scontrol'];
    await writeTree(home, Object.fromEntries(names.map((name) => [`bin/${name}`, '#!/bin/sh\n'])));
    for (const name of names) await chmod(join(bin, name), 0o755);
    expect((await ask('sbatch.here')).slurm).toMatchObject({ found: 'path', complaints: [] });
    expect(connection.scripts).toBe(2);
    await ask('sbatch.here');
    expect(connection.scripts).toBe(2);
    await ask('sbatch.there');
    expect(connection.scripts).toBe(3);
  });
});

describe('what SLURM says', () => {
  it.each([
    ['(null)', []],
    ['gpu:2', [{ count: 2 }]],
    ['gpu:h100:4(S:0-3)', [{ type: 'h100', count: 4 }]],
    ['gpu:a40:8(S:0-1),craynetwork:4', [{ type: 'a40', count: 8 }]],
    [
      'gpu:nvidia_a100_3g.20gb:2,gpu:nvidia_a100:1',
      [
        { type: 'nvidia_a100_3g.20gb', count: 2 },
        { type: 'nvidia_a100', count: 1 },
      ],
    ],
  ])('of gres: %s', (text, expected) => {
    expect(parseGres(text)).toEqual(expected);
  });

  it('of partitions: lines of one are joined, and who may use it is known', () => {
    const sinfo = [
      'gpu|up|1-00:00:00|3|96|515000+|gpu:h100:4(S:0-3)|mixed',
      'gpu|up|1-00:00:00|1|128|1030000|gpu:h100:4(S:0-3)|drained*',
      'long*|inact|infinite|2|48|192000|(null)|down*',
    ];
    const scontrol = [
      'PartitionName=gpu AllowGroups=ALL AllowAccounts=ml,bio DenyAccounts=none AllowQos=ALL DefaultTime=NONE',
    ];
    const [gpu, long] = parsePartitions(sinfo, scontrol);
    expect(gpu).toMatchObject({ nodes: 4, usableNodes: 3, cpus: 128, memoryMb: 1030000, maxSeconds: 86400 });
    expect(gpu).toMatchObject({ gpus: [{ type: 'h100', count: 4 }], allowedAccounts: ['ml', 'bio'] });
    expect(gpu?.allowedQos).toBeUndefined();
    expect(long).toMatchObject({ name: 'long', isDefault: true, isUp: false, usableNodes: 0, gpus: [] });
    expect(long?.maxSeconds).toBeUndefined();
  });

  it('of accounting and limits', () => {
    expect(
      parseLimits(['AccountingStorageType   = accounting_storage/none', 'MaxArraySize            = 1001']),
    ).toEqual({
      hasAccounting: false,
      maxArraySize: 1001,
    });
    expect(parseLimits(['AccountingStorageType   = (null)']).hasAccounting).toBe(false);
    expect(parseLimits(['AccountingStorageType   = accounting_storage/slurmdbd']).hasAccounting).toBe(true);
    expect(parseLimits([]).hasAccounting).toBe(false);
  });

  it('of accounts: one for each account and partition, with all its qualities of service', () => {
    expect(parseAccounts(['ml||normal,long|normal', 'ml||debug|', 'ml|gpu|normal|', 'sacctmgr: error: x'])).toEqual([
      { name: 'ml', qos: ['normal', 'long', 'debug'] },
      { name: 'ml', partition: 'gpu', qos: ['normal'] },
    ]);
  });
});
