import fc from 'fast-check';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseUsage, renderUsageHint } from '../../src/cluster/explain-no-room.js';
import { parseSpace, renderSpaceProbe, requireRoom, type Space } from '../../src/cluster/space.js';
import { scriptPrelude } from '../../src/ssh/remote-script.js';
import { failureOf } from '../support/failure.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const df = (device: string) => `hpcrun-space blocks
Filesystem     1024-blocks     Used Available Capacity Mounted on
${device}        264212084 26196440  80194472      25% /home
hpcrun-space inodes
Filesystem       Inodes  IUsed    IFree IUse% Mounted on
${device}       16777216 430326 16346890    3% /home
`;
const space = (rest: string, device = '/dev/vda') => parseSpace(`${df(device)}${rest}hpcrun-space end\n`);
const onlyDf = { freeBytes: 80_194_472 * 1024, freeInodes: 16_346_890 };
const none = { quotaLeftBytes: undefined, quotaLeftInodes: undefined };

const quotaHead = `hpcrun-space quota
Disk quotas for user ada (uid 1500): 
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
`;

describe('parseSpace', () => {
  it('reads df', () => {
    expect(space('hpcrun-space quota\n')).toEqual({ ...onlyDf, ...none });
  });

  it('knows no inodes where a file system has no fixed number of them', () => {
    const text = 'hpcrun-space inodes\nFilesystem     Inodes IUsed IFree IUse% Mounted on\n/dev/sda2 0 0 0 - /home\n';
    expect(parseSpace(text).freeInodes).toBeUndefined();
  });

  it.each([
    ['no quota', 'hpcrun-space quota\nDisk quotas for user ada (uid 1500): none\n', undefined, undefined],
    ['of another file system', `${quotaHead}      /dev/vdb  5  10  20  0  5  10  20  0\n`, undefined, undefined],
    ['with raw grace', `${quotaHead}      /dev/vda  123456 5000000 5500000 0 1234 0 9000 0\n`, 5_376_544 * 1024, 7766],
    [
      'exceeded, in its time of grace',
      `${quotaHead}  /dev/vda 5400000* 5000000 5500000 6days 12 0 0 \n`,
      100_000 * 1024,
      undefined,
    ],
    [
      'without grace',
      `${quotaHead}      /dev/vda  1048576 16777216 20971520 160000 0 200000        \n`,
      19_922_944 * 1024,
      40_000,
    ],
    ['exceeded for good', `${quotaHead}      /dev/vda  60* 40 50 none 13* 10 12 none\n`, 0, 0],
  ])('reads quota -w: %s', (_, text, quotaLeftBytes, quotaLeftInodes) => {
    expect(space(text)).toEqual({ ...onlyDf, quotaLeftBytes, quotaLeftInodes });
  });

  it.each([
    [
      'with limits',
      '        /lustre       0    8589934592 10737418240       -       5  3000000 36000000       -\n',
      10_737_418_240 * 1024,
      35_999_995,
    ],
    [
      'with values that not all servers told',
      '   /fred [1041408]  5242880 6291456       -     [0]       0       0       -\n',
      5_250_048 * 1024,
      undefined,
    ],
    [
      'of a long name',
      '/lustre/project/tier0/x\n                982177580       0 1000000000       - 443208230 0      0       -\n',
      17_822_420 * 1024,
      undefined,
    ],
    [
      'with remarks',
      '     /home/mila  1000      0    2000       -  921718       0 1048576       -\nuid 1471600598 is using default file quota setting\n',
      1000 * 1024,
      126_858,
    ],
    ['without a limit', '   /lus/lustre1/x 0 0 0 - 0 0 0 -\n', undefined, undefined],
    ['on another file system', '', undefined, undefined],
  ])('reads lfs quota -q: %s', (_, text, quotaLeftBytes, quotaLeftInodes) => {
    expect(space(`hpcrun-space lfs\n${text}`)).toEqual({ ...onlyDf, quotaLeftBytes, quotaLeftInodes });
  });

  it('takes the smallest of several quotas', () => {
    const user = 'hpcrun-space lfs\n /lustre 0 0 4000 - 0 0 50 -\n';
    const project = 'hpcrun-space lfs\n /lustre 1000 0 2000 - 10 0 500 -\n';
    expect(space(user + project)).toMatchObject({ quotaLeftBytes: 1000 * 1024, quotaLeftInodes: 50 });
  });

  it('gets along with any text', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const found = parseSpace(`${before}\nhpcrun-space quota\n${after}`);
        expect(Object.values(found).every((value) => value === undefined || value >= 0)).toBe(true);
      }),
    );
  });
});

describe.each(['dash', 'bash'])('renderSpaceProbe under %s', (shell) => {
  it('asks for the nearest directory that is there', async () => {
    const directory = await makeTemporaryDirectory();
    const { stdout, stderr, status } = runShell(
      shell,
      scriptPrelude + renderSpaceProbe(join(directory, 'not', 'there')),
    );
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    const { freeBytes } = parseSpace(stdout);
    expect(freeBytes).toBeGreaterThan(0);
  });

  it('adds what quota and lfs say, for the user and the project of the directory', async () => {
    const directory = await makeTemporaryDirectory();
    const tools = join(directory, 'tools');
    await mkdir(tools);
    await writeFile(join(tools, 'quota'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const lfs = `#!/bin/sh
case "$1 $3" in
'project '*) echo '    77 P /x' ;;
'quota -u') echo ' /lustre 0 0 4000 - 0 0 50 -' ;;
'quota -p') [ "$4" = 77 ] && echo ' /lustre 1000 0 2000 - 10 0 500 -' ;;
esac
`;
    await writeFile(join(tools, 'lfs'), lfs, { mode: 0o755 });
    const env = { PATH: `${tools}:${process.env.PATH ?? ''}` };
    const { stdout, status } = runShell(shell, scriptPrelude + renderSpaceProbe(directory), { env });
    expect(status).toBe(0);
    expect(parseSpace(stdout)).toMatchObject({ quotaLeftBytes: 1000 * 1024, quotaLeftInodes: 50 });
  });
});

describe('requireRoom', () => {
  const unknown: Space = { freeBytes: undefined, freeInodes: undefined, ...none };
  const needed = { bytes: 1000, inodes: 10 };

  it.each([
    [{ freeBytes: 999 }, /no room in \/scratch: 1\.00 kB are needed, 999 bytes are free/],
    [{ freeBytes: 1e9, quotaLeftBytes: 10 }, /10 bytes of your quota are left/],
    [{ freeInodes: 9 }, /10 files are to be made, and its file system has room for 9/],
    [{ freeInodes: 1e9, quotaLeftInodes: 0 }, /your quota leaves 0/],
  ])('refuses with %j', async (some, message) => {
    const error = await failureOf(() => {
      requireRoom({ ...unknown, ...some }, needed, '/scratch');
    });
    expect(error.code).toBe('REMOTE_DISK_FULL');
    expect(error.message).toMatch(message);
    expect(error.hint).toContain('hpcrun prune');
  });

  it('accepts what just fits, and what nobody can tell', () => {
    requireRoom(unknown, needed, '/scratch');
    requireRoom({ freeBytes: 1000, freeInodes: 10, quotaLeftBytes: 1000, quotaLeftInodes: 10 }, needed, '/scratch');
  });
});

describe('what explains that there is no room', () => {
  it('names the largest first, and what would help', () => {
    const usage = parseUsage(
      'usage images 2000000\nusage runs 9000000\nusage code 0\nusage incoming 500000\nunused 1000000\nabandoned 0\n',
    );
    expect(renderUsageHint(usage, space('')).split('\n')).toEqual([
      'hpcrun uses there:',
      '   9.22 GB  runs and their results',
      '   2.05 GB  images',
      '    512 MB    of these, images that are not complete',
      'On its file system: 82.1 GB free, room for 16346890 files.',
      '"hpcrun prune --all" would free up to 1.02 GB: images that no run uses.',
      '"hpcrun prune --older-than 7d" would also remove ended runs as old as that (all runs: 9.22 GB).',
      'What was sent is kept: the same command goes on from there.',
    ]);
  });

  it('says what can be done where nothing is known', () => {
    expect(renderUsageHint(parseUsage(''), parseSpace(''))).toMatch(/^Free some space .*\nWhat was sent is kept/);
  });
});
