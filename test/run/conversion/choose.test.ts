import { describe, expect, it } from 'vitest';
import { chooseWay } from '../../../src/run/conversion/choose.js';
import type { Possibility, WayIn } from '../../../src/run/conversion/way-in.js';
import { failureOf } from '../../support/failure.js';

const { signal } = new AbortController();

const way = (name: Exclude<WayIn['name'], 'native'>, possibility: Possibility, asked: string[]): WayIn => ({
  name,
  place: 'cluster',
  recipe: name,
  probe: () => {
    asked.push(name);
    return Promise.resolve(possibility);
  },
  convert: () => Promise.reject(new Error('nothing is converted here')),
});

describe('chooseWay', () => {
  it('takes the first way that is open, asks no further and says why', async () => {
    const asked: string[] = [];
    const ways = [
      way('apptainer', { possible: false, why: 'it is not here' }, asked),
      way('slurm', { possible: true, why: 'a job can run Apptainer' }, asked),
      way('remote', { possible: true, why: 'the login node has Apptainer' }, asked),
    ];
    const chosen = await chooseWay('auto', ways, signal);
    expect([chosen.way.name, chosen.why]).toEqual(['slurm', 'slurm: a job can run Apptainer']);
    expect(asked).toEqual(['apptainer', 'slurm']);
  });

  it('takes the way that was asked for, and asks about no other', async () => {
    const asked: string[] = [];
    const ways = [
      way('apptainer', { possible: true, why: 'it is here' }, asked),
      way('remote', { possible: true, why: 'the login node has Apptainer' }, asked),
    ];
    expect((await chooseWay('remote', ways, signal)).way.name).toBe('remote');
    expect(asked).toEqual(['remote']);
  });

  it('says what is in the way of the one that was asked for, instead of taking another', async () => {
    const ways = [
      way('apptainer', { possible: false, why: 'Apptainer is not on this machine' }, []),
      way('remote', { possible: true, why: 'the login node has Apptainer' }, []),
    ];
    const error = await failureOf(() => chooseWay('apptainer', ways, signal));
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(error.message).toContain('apptainer: Apptainer is not on this machine');
    expect(error.hint).toContain('--convert auto');
  });

  it('says what is in the way of each where none is open', async () => {
    const ways = [
      way('apptainer', { possible: false, why: 'Apptainer is not on this machine' }, []),
      way('remote', { possible: false, why: 'nor on the login node' }, []),
    ];
    const error = await failureOf(() => chooseWay('auto', ways, signal));
    expect(error.message.split('\n').slice(1)).toEqual([
      'apptainer: Apptainer is not on this machine',
      'remote: nor on the login node',
    ]);
  });
});
