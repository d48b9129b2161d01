import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageDirectory } from '../../src/package-directory.js';
import { parseQuery } from '../../src/slurm/query.js';

// What scripts/capture-slurm.sh has printed, by release.
const directory = join(packageDirectory(), 'test', 'captured', 'slurm');
const runId = (index: number) => `20261122-08153${index}-k3f9`;
const sweepIndex = 7;

describe.each(readdirSync(directory).sort())('what SLURM says: %s', (file) => {
  const lines = readFileSync(join(directory, file), 'utf8').split('\n');
  const runs = Array.from({ length: 9 }, (_, index) => {
    const named = lines.find((line) => line.startsWith('squeue|') && line.includes(runId(index))) ?? '';
    const job = /^squeue\|(\d+)/.exec(named)?.[1] ?? '';
    const isSweep = index === sweepIndex;
    return `run|${runId(index)}||${isSweep ? 10 : ''}\njob|${job}|1000|${isSweep ? '0-9' : ''}`;
  });
  const ask = (sources: string[]) =>
    parseQuery([...runs, ...lines.filter((line) => sources.includes(line.split('|')[0] ?? ''))].join('\n')).runs;

  it('is understood, of jobs of every kind', () => {
    const states = ask(['squeue', 'sacct']).map(({ state, exitCode }) => [state, exitCode]);
    expect(states.filter((_, index) => index !== sweepIndex)).toEqual([
      ['COMPLETED', 0],
      ['FAILED', 7],
      ['FAILED', 137],
      ['RUNNING', undefined],
      ['CANCELLED', undefined],
      ['PENDING', undefined],
      ['PENDING', undefined],
      // Requeued.
      ['PENDING', undefined],
    ]);
  });

  it('is understood from squeue alone, where there is no accounting', () => {
    const states = ask(['squeue']).map(({ state, reason }) => [state, state === 'PENDING' ? reason : undefined]);
    expect(states.filter((_, index) => index !== sweepIndex)).toEqual([
      ['COMPLETED', undefined],
      ['FAILED', undefined],
      ['FAILED', undefined],
      ['RUNNING', undefined],
      ['CANCELLED', undefined],
      ['PENDING', 'BeginTime'],
      ['PENDING', 'DependencyNeverSatisfied'],
      ['PENDING', 'BeginTime'],
    ]);
  });

  it('is understood of an array, part of which waits', () => {
    for (const sources of [['squeue', 'sacct'], ['squeue']]) {
      const { tasks = [] } = ask(sources)[sweepIndex] ?? {};
      const states = tasks.map(({ state }) => state);
      expect(states.slice(0, 4)).toEqual(['COMPLETED', 'FAILED', 'COMPLETED', 'FAILED']);
      expect(states.filter((state) => !['COMPLETED', 'FAILED', 'RUNNING', 'PENDING'].includes(state))).toEqual([]);
      const reasons = tasks.filter(({ state }) => state === 'COMPLETED').map(({ reason }) => reason);
      expect(new Set(reasons)).toEqual(new Set([undefined]));
    }
  });
});
