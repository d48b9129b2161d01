import { describe, expect, it } from 'vitest';
import { emptyImage, type ImageInfo } from '../../src/image/engine.js';
import { renderParityReport, reportParity, standingDifferences, type ParityInput } from '../../src/image/parity.js';
import { RootfsSurveyor, type RootfsSurvey } from '../../src/image/rootfs-survey.js';

const plainInfo: ImageInfo = { ...emptyImage, architecture: 'amd64' };
const plainSurvey: RootfsSurvey = { ...new RootfsSurveyor([]).survey(), hasShell: true, architecture: 'amd64' };

interface Change {
  info?: Partial<ImageInfo>;
  survey?: Partial<RootfsSurvey>;
  permissions?: 'open' | 'keep';
  node?: ParityInput['node'];
}

const report = ({ info, survey, permissions = 'open', node }: Change) =>
  reportParity({
    info: { ...plainInfo, ...info },
    survey: { ...plainSurvey, ...survey },
    permissions,
    ...(node === undefined ? {} : { node }),
  });

const codes = (change: Change) => report(change).map(({ code, severity }) => `${severity} ${code}`);
const some = (...samples: string[]) => ({ count: samples.length, samples });

describe('reportParity', () => {
  it('finds nothing where nothing differs', () => {
    expect(report({})).toEqual([]);
    expect(report({ node: { architecture: 'amd64', kernel: '5.14.0-427.el9.x86_64', cudaDriver: '12.4' } })).toEqual(
      [],
    );
  });

  it.each<[string, Change, string[]]>([
    ['a user', { info: { user: 'app' } }, ['note USER']],
    ['a user and a group', { info: { user: '1000:1000' } }, ['note USER']],
    ['root by name', { info: { user: 'root' } }, []],
    ['root by number', { info: { user: '0:0' } }, []],
    ['an empty volume', { info: { volumes: ['/data'] } }, ['note VOLUME']],
    [
      'a volume that holds something',
      { info: { volumes: ['/data'] }, survey: { filledVolumes: ['/data'] } },
      ['warning VOLUME'],
    ],
    ['ports', { info: { ports: ['80/tcp'] } }, ['note EXPOSE']],
    ['a health check', { info: { healthcheck: ['CMD', 'true'] } }, ['note HEALTHCHECK']],
    ['variables of odd names', { info: { environment: ['A=1', 'my.var=2'] } }, ['warning ENV_NAMES']],
    ['no shell', { survey: { hasShell: false } }, ['warning NO_SHELL']],
    ['closed files, opened', { survey: { closed: some('/root') } }, ['note ROOT_FILES']],
    ['closed files, kept', { survey: { closed: some('/root') }, permissions: 'keep' }, ['warning ROOT_FILES']],
    ['setuid programs', { survey: { setuid: some('/bin/su') } }, ['note SETUID']],
    ['capabilities', { survey: { capabilities: some('/bin/ping') } }, ['note CAPABILITIES']],
    ['other owners', { survey: { foreign: some('/home/app') } }, ['note OWNERS']],
    ['devices', { survey: { devices: some('/srv/null') } }, ['note DEVICES']],
    ['fifos and odd names, which stay', { survey: { fifos: some('/f'), oddNames: some('/x') } }, []],
  ])('%s', (_, change, expected) => {
    expect(codes(change)).toEqual(expected);
  });

  it.each<[string, Change, string | undefined]>([
    ['the right architecture', { node: { architecture: 'amd64' } }, undefined],
    ['another node', { node: { architecture: 'arm64' } }, 'The image holds programs for amd64; the node is arm64.'],
    ['32-bit programs', { survey: { architecture: '386' }, node: { architecture: 'amd64' } }, undefined],
    ['programs that say nothing', { info: { architecture: 'arm64' }, survey: { architecture: undefined } }, undefined],
    [
      'a label only, of another node',
      { info: { architecture: 'arm64' }, survey: { architecture: undefined }, node: { architecture: 'amd64' } },
      'The image holds programs for arm64; the node is amd64.',
    ],
    [
      'a wrong label',
      { survey: { architecture: 'arm64' } },
      'The image holds programs for arm64, although it says that it is for amd64.',
    ],
    [
      'a wrong label that fits the node',
      { survey: { architecture: 'arm64' }, node: { architecture: 'amd64' } },
      'The image holds programs for arm64, although it says that it is for amd64; the node is amd64.',
    ],
    [
      'a wrong label that does not fit the node',
      { survey: { architecture: 'arm64' }, node: { architecture: 'arm64' } },
      'The image says that it is for amd64; the node is arm64.',
    ],
  ])('architecture: %s', (_, change, differs) => {
    const expected = differs === undefined ? [] : [{ code: 'ARCHITECTURE', severity: 'error', differs }];
    expect(report(change)).toMatchObject(expected);
  });

  it.each([
    ['3.2.0', '3.10.0-1160.el7.x86_64', true, []],
    ['3.10.0', '3.10.0-1160.el7.x86_64', true, []],
    ['3.2.0', '2.6.32-754.el6.x86_64', true, ['error KERNEL_TOO_OLD']],
    ['3.2.0', '2.6.32-754.el6.x86_64', false, ['warning KERNEL_TOO_OLD']],
    ['4.4.0', '3.10.0', true, ['error KERNEL_TOO_OLD']],
    ['4.4.0', 'unheard-of', true, []],
    [undefined, '2.6.32', true, []],
  ])(
    'a C library for Linux %s on %s, refusing older ones: %j',
    (minimumKernel, kernel, refusesOlderKernels, expected) => {
      expect(codes({ survey: { minimumKernel, refusesOlderKernels }, node: { kernel } })).toEqual(expected);
    },
  );

  it.each([
    [[], '11.0', []],
    [['12.4'], undefined, []],
    [['12.4'], '12.4', []],
    [['11.8'], '12.4', []],
    [['12.6'], '12.4', ['warning CUDA_DRIVER']],
    [['12.4', '12'], '12.2', ['warning CUDA_DRIVER']],
    [['12.4'], '11.8', ['error CUDA_DRIVER']],
    [['12.4', '11.8'], '11.8', ['warning CUDA_DRIVER']],
    [['13.0', '12.6'], '12.4', ['warning CUDA_DRIVER']],
    [['10.2'], '10.1', ['error CUDA_DRIVER']],
  ])('CUDA %j on a driver for %s', (versions, cudaDriver, expected) => {
    const cuda = versions.map((version) => ({ version, source: `/usr/local/cuda-${version}` }));
    const node = cudaDriver === undefined ? {} : { cudaDriver };
    expect(codes({ survey: { cuda }, node })).toEqual(expected);
  });

  it('takes the CUDA that the environment tells', () => {
    const change = { info: { environment: ['CUDA_VERSION=13.0.1'] }, node: { cudaDriver: '12.4' } };
    expect(report(change)).toMatchObject([
      { differs: "The image brings CUDA 13.0 (CUDA_VERSION); the node's driver supports up to 12.4." },
    ]);
  });

  it('puts the gravest first', () => {
    const change: Change = {
      info: { user: 'app', environment: ['a.b=c'], ports: ['80/tcp'] },
      survey: { hasShell: false, setuid: some('/bin/su') },
      node: { architecture: 'arm64' },
    };
    expect(codes(change)).toEqual([
      'error ARCHITECTURE',
      ...['warning ENV_NAMES', 'warning NO_SHELL'],
      ...['note USER', 'note EXPOSE', 'note SETUID'],
    ]);
  });
});

describe('standingDifferences', () => {
  it('are notes, each of its own kind', () => {
    expect(standingDifferences.every(({ severity }) => severity === 'note')).toBe(true);
    const kinds = standingDifferences.map(({ code }) => code);
    expect(new Set(kinds).size).toBe(kinds.length);
  });
});

describe('renderParityReport', () => {
  it('shows each finding on a line, and below it what is done and what to do', () => {
    const closed = { count: 12, samples: ['/root', '/etc/shadow', '/etc/gshadow', '/var/x', '/var/y'] };
    const findings = report({ survey: { closed, setuid: some('/bin/su') }, node: { architecture: 'arm64' } });
    expect(renderParityReport(findings)).toBe(
      [
        'error: The image holds programs for amd64; the node is arm64.',
        '    Nothing: none of its programs would start ("exec format error").',
        '    → Build it for the node: image: {platform: linux/arm64} in hpcrun.yaml.',
        'note: Only the owner may read 12 files or directories (/root, /etc/shadow, /etc/gshadow, …), and a job is not root.',
        '    They are opened: who can read the SIF can read them.',
        '    → Keep secrets out of images. With image: {permissions: keep}, nothing is opened.',
        'note: Setuid and setgid have no effect: 1 program (/bin/su).',
        '    They run with your own rights; sudo and su do not work.',
      ].join('\n'),
    );
  });

  it('is empty without findings', () => {
    expect(renderParityReport([])).toBe('');
  });
});
