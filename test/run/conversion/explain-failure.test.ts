import { describe, expect, it } from 'vitest';
import { conversionFailed, type BuildFailure } from '../../../src/run/conversion/explain-failure.js';

const failure = (changes: Partial<BuildFailure>): BuildFailure => ({
  way: 'remote',
  place: 'claix',
  status: 255,
  output: '',
  ...changes,
});

const fatal = (text: string) => `INFO:    Starting build...\nFATAL:   While performing build: ${text}\n`;

describe('conversionFailed', () => {
  // What Apptainer 1.4.5, mksquashfs, Docker and a registry printed, or in their sources' words.
  it.for<[what: string, changes: Partial<BuildFailure>, hint: RegExp]>([
    ['a kill by the login node', { status: 137 }, /--convert slurm/],
    [
      'mksquashfs killed',
      { output: fatal('while creating squashfs: create command failed: signal: killed:') },
      /slurm/,
    ],
    ['a job without memory', { way: 'slurm', jobState: 'OUT_OF_MEMORY OutOfMemory' }, /--memory/],
    ['a job out of time', { way: 'slurm', jobState: 'TIMEOUT TimeLimit' }, /--time/],
    ['a full disk', { output: fatal('packer failed: write /a/b: no space left on device') }, /root:/],
    ['a full disk here', { way: 'apptainer', output: fatal('write: no space left on device') }, /XDG_CACHE_HOME/],
    ['a quota', { output: fatal('unpack entry: write /a: disk quota exceeded') }, /quota on the cluster/],
    [
      'a quota that got it killed',
      { status: 137, output: fatal('write /a: disk quota exceeded') },
      /quota on the cluster/,
    ],
    ['no user namespaces', { output: fatal('failed to create user namespace: EPERM') }, /--convert slurm/],
    [
      'no subuid',
      { way: 'slurm', output: 'FATAL:   could not use fakeroot: no mapping entry found in /etc/subuid' },
      /native/,
    ],
    [
      'plain HTTP',
      {
        way: 'registry',
        output: fatal(
          'conveyor failed to get: Get "https://registry:5000/v2/": http: server gave HTTP response to HTTPS client',
        ),
      },
      /insecure: true/,
    ],
    [
      'a registry that is not there',
      {
        way: 'registry',
        output: fatal(
          'conveyor failed to get: Get "https://nohost:5000/v2/": dial tcp: lookup nohost on 127.0.0.11:53: no such host',
        ),
      },
      /pull:/,
    ],
    [
      'a registry that wants a login',
      {
        way: 'registry',
        output: fatal(
          'conveyor failed to get: GET http://registry:5000/v2/hpcrun/manifests/1: UNAUTHORIZED: authentication required',
        ),
      },
      /credentials/,
    ],
    ['a refused push', { way: 'registry', output: 'Docker failed: no basic auth credentials' }, /docker login/],
    [
      'an image that is not there',
      {
        way: 'registry',
        output: fatal(
          'conveyor failed to get: GET http://r:5000/v2/x/manifests/nope: MANIFEST_UNKNOWN: manifest unknown',
        ),
      },
      /same place/,
    ],
    ['another architecture', { output: fatal('exec format error') }, /platform/],
    ['something else', { way: 'slurm', output: fatal('unexpected EOF') }, /--convert native/],
  ])('says what to do after %s', ([, changes, hint]) => {
    const error = conversionFailed(failure(changes));
    expect(error.code).toBe('CONVERSION_FAILED');
    expect(error.hint).toMatch(hint);
  });

  it('shows the end of what was printed, without what every build prints', () => {
    const noise = '2026/11/22 22:42:36  warn rootless{dev/full} creating empty file in place of device 1:7\n';
    const error = conversionFailed(failure({ output: `${noise}${fatal('unexpected\u001b[31m EOF')}` }));
    expect(error.message).toBe(
      'converting the image on claix failed (status 255):\nFATAL:   While performing build: unexpected\\x1b[31m EOF',
    );
  });
});
