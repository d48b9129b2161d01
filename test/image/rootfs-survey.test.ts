import { describe, expect, it } from 'vitest';
import { rewriteRootfs, type RootfsEntry } from '../../src/image/rewrite-rootfs.js';
import { rootfsSurveySchema, RootfsSurveyor } from '../../src/image/rootfs-survey.js';
import { collect, inPieces } from '../support/chunks.js';
import { renderElf, type RawElf } from '../support/raw-elf.js';
import { endOfTar, renderRawEntry, type RawEntry } from '../support/raw-tar.js';

const amd64: RawElf = { machine: 62, bits: 64, order: 'little' };
const arm64: RawElf = { machine: 183, bits: 64, order: 'little' };

/** What a surveyor says of entries, given in a few words. */
const survey = (entries: (Partial<RootfsEntry> & { path: string; content?: Buffer })[], volumes: string[] = []) => {
  const surveyor = new RootfsSurveyor(volumes);
  for (const { content = Buffer.alloc(0), ...entry } of entries) {
    const plain = { type: '0', mode: 0o644, uid: 0, gid: 0, mtime: 0, linkTarget: '', hasCapability: false };
    surveyor.observe({ ...plain, size: content.length, ...entry })?.(content.subarray(0, 4096));
  }
  const result = surveyor.survey();
  expect(rootfsSurveySchema.parse(JSON.parse(JSON.stringify(result)))).toEqual(result);
  return result;
};

const program = (path: string, elf: RawElf = amd64) => ({ path, mode: 0o755, content: renderElf(elf) });
const symlink = (path: string, linkTarget: string) => ({ path, type: '2', mode: 0o777, linkTarget });
const nothing = { count: 0, samples: [] };

describe('RootfsSurveyor', () => {
  it('finds nothing in an empty image', () => {
    const tallies = ['closed', 'setuid', 'foreign', 'devices', 'fifos', 'capabilities', 'oddNames'];
    expect(survey([])).toEqual({
      ...{ entries: 0, totalBytes: 0, filledVolumes: [], hasShell: false, refusesOlderKernels: false, cuda: [] },
      ...Object.fromEntries(tallies.map((name) => [name, nothing])),
    });
  });

  it('counts', () => {
    const found = survey([
      { path: 'root', type: '5', mode: 0o700 },
      { path: 'etc/shadow', mode: 0o640, size: 10 },
      { path: 'etc/passwd', mode: 0o644, size: 20 },
      { path: 'etc/link', type: '2', mode: 0o700, linkTarget: 'passwd', uid: 5 },
      { path: 'etc/hard', type: '1', mode: 0o600, linkTarget: 'etc/shadow', uid: 5 },
      { path: 'bin/su', mode: 0o4755, size: 30 },
      { path: 'var/mail', type: '5', mode: 0o2775 },
      { path: 'usr/bin/ping', mode: 0o755, hasCapability: true },
      { path: 'home/app', type: '5', mode: 0o755, uid: 1000 },
      { path: 'srv/null', type: '3' },
      { path: 'srv/disk', type: '4' },
      { path: 'srv/fifo', type: '6' },
      { path: 'caf\xe9', mode: 0o644 },
      { path: 'caf\xc3\xa9', mode: 0o644 },
    ]);
    expect(found).toMatchObject({
      entries: 14,
      totalBytes: 60,
      closed: { count: 2, samples: ['/root', '/etc/shadow'] },
      setuid: { count: 1, samples: ['/bin/su'] },
      foreign: { count: 2, samples: ['/etc/link', '/home/app'] },
      devices: { count: 2, samples: ['/srv/null', '/srv/disk'] },
      fifos: { count: 1, samples: ['/srv/fifo'] },
      capabilities: { count: 1, samples: ['/usr/bin/ping'] },
      oddNames: { count: 1, samples: ['/caf\ufffd'] },
    });
  });

  it('keeps five samples', () => {
    const names = Array.from({ length: 9 }, (_, index) => `caf\xc3\xa9-${index}`);
    const found = survey(names.map((path) => ({ path, uid: 7 })));
    expect(found.foreign).toEqual({ count: 9, samples: [0, 1, 2, 3, 4].map((index) => `/caf\u00e9-${index}`) });
  });

  it('tells which volumes hold something', () => {
    const volumes = ['/data', '/full/', '/full-of', '/caf\u00e9', '/none'];
    const paths = ['data', 'full', 'full/x', 'caf\xc3\xa9', 'caf\xc3\xa9/y', 'none-of'];
    expect(
      survey(
        paths.map((path) => ({ path })),
        volumes,
      ).filledVolumes,
    ).toEqual(['/full/', '/caf\u00e9']);
  });

  it.each([
    ['as it is', [program('bin/sh')]],
    ['on a merged file system', [symlink('bin', 'usr/bin'), program('usr/bin/dash'), symlink('usr/bin/sh', 'dash')]],
    [
      'through alternatives',
      [
        symlink('bin/sh', '/etc/alternatives/sh'),
        symlink('etc/alternatives/sh', '../../bin/bash'),
        program('bin/bash'),
      ],
    ],
    ['as a hard link', [program('bin/['), { path: 'bin/sh', type: '1', linkTarget: 'bin/[' }]],
    ['in an odd place', [symlink('bin/sh', '/busybox/busybox'), program('busybox/busybox')]],
    ['on Nix', [symlink('bin/sh', '/nix/store/1-bash/bin/bash'), program('nix/store/1-bash/bin/bash')]],
  ])('finds /bin/sh %s, and what it was built for', (_, entries) => {
    expect(survey(entries)).toMatchObject({ hasShell: true, architecture: 'amd64' });
  });

  it.each([
    ['none', [program('usr/bin/python3')]],
    ['a link to nowhere', [symlink('bin/sh', 'dash')]],
    ['a link to itself', [symlink('bin/sh', 'sh')]],
    ['a file that is no program', [{ path: 'bin/sh', mode: 0o644 }]],
  ])('misses /bin/sh where there is %s', (_, entries) => {
    const found = survey(entries);
    expect(found.hasShell).toBe(false);
    expect(found.architecture).toBeUndefined();
  });

  it('goes by the shell, not by programs that are there for another machine', () => {
    const entries = [
      program('usr/bin/qemu-x86_64-static'),
      program('usr/lib/x86_64-linux-gnu/libc.so.6'),
      program('bin/sh', arm64),
    ];
    expect(survey(entries).architecture).toBe('arm64');
    expect(survey(entries.slice(0, 2)).architecture).toBe('amd64');
  });

  it.each([
    ['of the C library', ['usr/lib/x86_64-linux-gnu/libc.so.6'], true, false],
    ['of the C library up to glibc 2.33', ['lib/x86_64-linux-gnu/libc-2.31.so'], true, true],
    ['of the loader', ['lib64/ld-linux-x86-64.so.2'], true, false],
    ['of the loader up to glibc 2.33', ['lib64/ld-2.17.so'], true, true],
    ['of a shell', ['bin/sh'], true, false],
    [
      'not of a C library to compile with',
      ['usr/aarch64-linux-gnu/lib/libc.so.6', 'opt/conda/x/sysroot/lib64/libc-2.17.so'],
      false,
      false,
    ],
    ['not of programs', ['usr/bin/python3'], false, false],
  ])('reads the oldest kernel %s', (_, paths, isFound, isRefused) => {
    const found = survey(paths.map((path) => program(path, { ...amd64, kernel: [3, 2, 0] })));
    expect(found.minimumKernel).toBe(isFound ? '3.2.0' : undefined);
    expect(found.refusesOlderKernels).toBe(isRefused);
  });

  it('takes the newest of the oldest kernels', () => {
    const paths = ['lib/libc-2.31.so', 'lib64/libc-2.31.so', 'lib32/libc-2.31.so'];
    const kernels: [number, number, number][] = [
      [3, 2, 0],
      [3, 10, 0],
      [2, 6, 32],
    ];
    const entries = paths.map((path, index) => program(path, { ...amd64, kernel: kernels[index] ?? [0, 0, 0] }));
    expect(survey(entries).minimumKernel).toBe('3.10.0');
  });

  it('collects versions of CUDA', () => {
    const paths = ['usr/local/cuda-12.4', 'usr/local/cuda-12.4/lib/libcudart.so.12.4.127', 'opt/libcudart.so.11.8.89'];
    expect(survey(paths.map((path) => ({ path }))).cuda).toEqual([
      { version: '12.4', source: '/usr/local/cuda-12.4' },
      { version: '11.8', source: '/opt/libcudart.so.11.8.89' },
    ]);
  });

  it('sees an image through rewriteRootfs, whatever way it is cut', async () => {
    const raw = (changes: Partial<RawEntry>) =>
      renderRawEntry({
        ...{ name: 'a', type: '0', mode: 0o755, mtime: 1, linkname: '', body: Buffer.alloc(0), longNames: 'pax' },
        ...changes,
      });
    const elf = renderElf({ ...arm64, kernel: [3, 7, 0] });
    const tar = Buffer.concat([
      raw({ name: './.dockerenv', mode: 0o600 }),
      raw({ name: './bin', type: '2', linkname: 'usr/bin' }),
      raw({ name: './usr/bin/dash', body: Buffer.concat([elf, Buffer.alloc(100_000)]) }),
      raw({ name: './usr/bin/sh', type: '2', linkname: 'dash' }),
      raw({ name: './data/x', body: Buffer.from('x') }),
      endOfTar,
    ]);
    for (const sizes of [[tar.length], [1000], [17]]) {
      const surveyor = new RootfsSurveyor(['/data']);
      const options = { permissions: 'open', directories: [], normalizedPaths: [], observe: surveyor.observe } as const;
      await collect(rewriteRootfs(inPieces(tar, sizes), [], { ...options, directories: [], normalizedPaths: [] }));
      expect(surveyor.survey()).toMatchObject({
        ...{
          entries: 4,
          totalBytes: elf.length + 100_001,
          hasShell: true,
          architecture: 'arm64',
          minimumKernel: '3.7.0',
        },
        ...{ filledVolumes: ['/data'], foreign: { count: 4 }, closed: nothing },
      });
    }
  });
});
