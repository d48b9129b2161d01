import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  renderMount,
  renderRunArguments,
  renderRunCommand,
  type LocalContainer,
} from '../../src/run/local-container.js';

const container: LocalContainer = {
  engine: 'docker',
  runId: '20261122-081530-k3f9',
  image: 'sha256:4711',
  platform: undefined,
  name: 'hpcrun-20261122-081530-k3f9',
  identity: { uid: 1234, gid: 100, name: 'mia' },
  keepsIdentity: false,
  hasInit: true,
  hasSelinux: false,
  interactive: false,
  tty: false,
  offline: false,
  ports: [],
  limits: { cpus: undefined, memoryBytes: undefined, swaps: false },
  gpus: false,
  sharedMemoryBytes: 1000,
  mounts: [{ source: '/work', target: '/workspace', readonly: false }],
  variables: { inherited: {}, file: undefined, onCommandLine: {}, removed: [] },
  workingDirectory: '/workspace/sub',
  command: ['python3', 'train.py', '--name', 'a b'],
};

describe('renderRunArguments', () => {
  it('renders the rules of a cluster and the whole argument vector', () => {
    expect(renderRunArguments(container)).toEqual([
      ...['run', '--rm', '--init', '--name', container.name, '--label', 'hpcrun.local=20261122-081530-k3f9'],
      ...['--user', '1234:100', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges', '--read-only'],
      ...['--shm-size', '1000', '--mount', 'type=bind,source=/work,target=/workspace'],
      ...['--workdir', '/workspace/sub', '--entrypoint', 'python3', 'sha256:4711', 'train.py', '--name', 'a b'],
    ]);
  });

  it.each<[string, Partial<LocalContainer>, string[]]>([
    ['a terminal', { interactive: true, tty: true }, ['--interactive', '--tty']],
    ['no network', { offline: true }, ['--network', 'none']],
    ['ports', { ports: ['8888:8888', '80'] }, ['--publish', '8888:8888', '--publish', '80']],
    ['another platform', { platform: 'linux/arm64' }, ['--platform', 'linux/arm64']],
    ['GPUs', { gpus: true }, ['--gpus', 'all']],
    ["Podman's GPUs", { engine: 'podman', gpus: true }, ['--device', 'nvidia.com/gpu=all']],
    ['Podman without root', { engine: 'podman', keepsIdentity: true }, ['--userns', 'keep-id']],
    ['SELinux', { hasSelinux: true }, ['--security-opt', 'label=disable']],
    [
      'limits',
      { limits: { cpus: 2, memoryBytes: 5e8, swaps: false } },
      ['--cpus', '2', '--memory', '500000000', '--memory-swap', '500000000'],
    ],
    [
      'limits where swap cannot be limited',
      { limits: { cpus: undefined, memoryBytes: 5e8, swaps: true } },
      ['--memory', '500000000', '--shm-size'],
    ],
  ])('renders %s', (_, change, expected) => {
    expect(renderRunArguments({ ...container, ...change }).join(' ')).toContain(` ${expected.join(' ')}`);
  });

  it('never puts the value of a variable of the user into the arguments', () => {
    const variables = {
      inherited: { TOKEN: 's3cr3t' },
      file: { path: '/scratch/env', text: 'PATH=s3cr3t\n' },
      onCommandLine: { LANG: 'C.UTF-8' },
      removed: ['my.var'],
    };
    const args = renderRunArguments({ ...container, variables });
    expect(args.join(' ')).not.toContain('s3cr3t');
    expect(args.join(' ')).toContain(
      '--env my.var --env LANG=C.UTF-8 --env TOKEN --env-file /scratch/env --workdir /workspace/sub',
    );
    expect(renderRunArguments({ ...container, engine: 'podman', variables })).toContain('--unsetenv');
  });
});

describe('renderRunCommand', () => {
  it('quotes for a shell, an option a line', () => {
    const lines = renderRunCommand({ ...container, command: ['sh', '-c', `echo "it's"`] }).split(' \\\n  ');
    expect(lines[0]).toBe('docker run --rm');
    expect(lines).toContain('--user 1234:100');
    expect(lines.at(-1)).toBe(`sha256:4711 -c 'echo "it'\\''s"'`);
  });
});

/** One line of RFC 4180. */
function parseFields(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))/gs)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
}

describe('renderMount', () => {
  it.each([
    [{ source: '/a', target: '/b', readonly: true }, 'type=bind,source=/a,target=/b,readonly'],
    [{ source: '/a, "b"', target: '/b', readonly: false }, 'type=bind,"source=/a, ""b""",target=/b'],
  ])('renders %o', (mount, expected) => {
    expect(renderMount(mount)).toBe(expected);
  });

  it('keeps every path', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (source, target) => {
        const line = renderMount({ source, target, readonly: false });
        expect(parseFields(line)).toEqual(['type=bind', `source=${source}`, `target=${target}`]);
      }),
    );
  });
});
