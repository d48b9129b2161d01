import { describe, expect, it } from 'vitest';
import { parseSbatchArgument } from '../../src/config/sbatch-argument.js';
import { resourcesSchema } from '../../src/config/resources.js';

describe('parseSbatchArgument', () => {
  it.each([
    ['--exclusive', { name: 'exclusive', value: undefined }],
    ['exclusive', { name: 'exclusive', value: undefined }],
    ['--licenses=matlab:1', { name: 'licenses', value: 'matlab:1' }],
    ['--gres=lscratch:100', { name: 'gres', value: 'lscratch:100' }],
    ['--signal=B:USR1@60', { name: 'signal', value: 'B:USR1@60' }],
  ])('reads %s', (text, expected) => {
    expect(parseSbatchArgument(text)).toEqual(expected);
  });

  it.each([
    ['-c4', 'long option'],
    ['', 'long option'],
    ['--', 'long option'],
    ['--licenses=', 'long option'],
    ['--Exclusive', 'long option'],
    ['--licenses matlab', 'long option'],
    ['--output=/dev/null', 'sets itself'],
    ['array=1-10', 'sets itself'],
    ['--time=1:00:00', 'it is --time'],
    ['--mem=4G', 'it is --memory'],
  ])('refuses %j', (text, expected) => {
    expect(parseSbatchArgument(text)).toContain(expected);
  });
});

describe('resources', () => {
  it("takes sbatch's words", () => {
    const given = {
      qos: 'long',
      constraint: '[rack1|rack2]',
      reservation: 'course_2',
      exclude: 'n1,n[4-7]',
      nodelist: 'gpu-n[01-02]',
      dependency: 'afterok:4711:4712,afterany:1',
      begin: '2030-01-31T08:00',
      mailType: 'END,FAIL',
      mailUser: 'ada@example.org',
    };
    expect(resourcesSchema.parse(given)).toEqual(given);
  });

  it.each([
    ['qos', 'a b'],
    ['constraint', 'a100 --uid=0'],
    ['constraint', 'a\n#SBATCH --uid=0'],
    ['nodelist', 'n1 n2'],
    ['exclude', '$(id)'],
    ['dependency', 'afterok:1\n'],
    ['begin', 'now; id'],
    ['mailType', 'END FAIL'],
    ['mailUser', 'ada <ada@example.org>'],
  ])('refuses %s: %j', (key, value) => {
    expect(resourcesSchema.safeParse({ [key]: value }).success).toBe(false);
  });
});
