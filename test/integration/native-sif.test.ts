import { execa } from 'execa';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, mkdtemp, readFile, readlink, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CliEngine } from '../../src/image/cli-engine.js';
import { readSif } from '../../src/image/sif-file.js';
import { openToAll } from '../../src/image/rewrite-rootfs.js';
import { hpcrun, loginContainer, onLogin } from './lab.js';

const { signal } = new AbortController();
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'hpcrun-native-'));
});
afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

/** Builds an image and returns its id. */
async function build(dockerfile: string, tag: string): Promise<string> {
  const context = await mkdtemp(join(scratch, 'context-'));
  const request = { dockerfile: join(context, 'Dockerfile'), context, args: {}, tag };
  await writeFile(request.dockerfile, dockerfile);
  return await new CliEngine('docker').build(request, { signal });
}

async function convert(image: string, output: string, ...options: string[]): Promise<Record<string, unknown>> {
  const result = await hpcrun(['convert', '--force', '--json', ...options, image, output], { cwd: scratch });
  expect(result.stderr).not.toContain('"error"');
  expect(result.exitCode).toBe(0);
  return result.objects[0] ?? {};
}

async function copyToLogin(path: string, target: string): Promise<void> {
  await execa('docker', ['cp', '--quiet', path, `${loginContainer}:${target}`]);
}

/** Path → type, mode, content or link target, of every entry of a SIF's root file system. */
async function treeOf(sif: string): Promise<Map<string, string>> {
  const { objects } = await readSif(sif);
  const root = objects.find(({ type }) => type === 'system');
  const directory = `${sif}.tree`;
  await rm(directory, { recursive: true, force: true });
  await execa('unsquashfs', ['-q', '-n', '-o', String(root?.offset), '-d', directory, sif]);
  const tree = new Map<string, string>();
  const walk = async (relative: string) => {
    for (const name of await readdir(join(directory, relative), { encoding: 'latin1' })) {
      const path = relative === '' ? name : `${relative}/${name}`;
      const full = Buffer.from(`${directory}/${path}`, 'latin1');
      const stats = await lstat(full);
      const mode = (stats.mode & 0o7777).toString(8);
      if (stats.isSymbolicLink()) tree.set(path, `link ${await readlink(full)}`);
      else if (stats.isDirectory()) {
        tree.set(path, `directory ${mode}`);
        await walk(path);
      } else {
        const hash = createHash('sha256');
        for await (const chunk of createReadStream(full) as AsyncIterable<Buffer>) hash.update(chunk);
        tree.set(path, `file ${mode} ${hash.digest('hex')}`);
      }
    }
  };
  await walk('');
  await rm(directory, { recursive: true });
  return tree;
}

const oddDockerfile = `FROM debian:trixie-slim
RUN mkdir -p /odd/private /odd/sticky && chmod 700 /odd/private && chmod 1777 /odd/sticky && cd /odd \\
 && echo secret >private/key && chmod 600 private/key && echo one >one && ln one two && ln -s ../etc/passwd link \\
 && ln -s nowhere broken && printf x >'blank "quote'"'"' $x' && printf y >"$(printf 'caf\\351')" \\
 && cp /bin/true setuid && chmod 4755 setuid && mkdir gone replaced && echo a >gone/a && echo b >replaced/b \\
 && d=$(printf '%0100d' 7) && mkdir -p "$d/$d" && echo long >"$d/$d/file"
RUN cd /odd && ln one three && rm -r gone && rm -r replaced && ln -s sticky replaced && echo 2 >>one
LABEL who="Ada \\"L\\""
ENV A="x y" B='$HOME'
ENTRYPOINT ["echo", "hello world"]
CMD ["and", "$HOME"]
`;

describe('a SIF made by hpcrun', () => {
  let native: string;
  let id: string;

  beforeAll(async () => {
    id = await build(oddDockerfile, 'hpcrun-test/odd');
    native = join(scratch, 'native.sif');
    await convert(id, native, '--no-cache');
    await copyToLogin(native, '/tmp/native.sif');
  });

  it('holds the same files as the one Apptainer builds from the same image', async () => {
    const archive = join(scratch, 'image.tar');
    await execa('docker', ['save', '--output', archive, 'hpcrun-test/odd']);
    await copyToLogin(archive, '/tmp/image.tar');
    await onLogin('chmod 644 /tmp/image.tar', 'root');
    await onLogin('cd /tmp && apptainer --quiet build --force /tmp/built.sif docker-archive:/tmp/image.tar 2>&1');
    const built = join(scratch, 'built.sif');
    await execa('docker', ['cp', '--quiet', `${loginContainer}:/tmp/built.sif`, built]);

    const [own, theirs] = [await treeOf(native), await treeOf(built)];
    // Apptainer's own additions, and its way of keeping them; ours are tested on their own.
    const isAddition = (path: string) =>
      /^(?:\.singularity\.d|singularity$|environment$|\.(?:exec|run|shell|test)$)/.test(path);
    // Mounted over in every container.
    const isMountPoint = (path: string) =>
      /^(?:etc\/(?:hosts|hostname|resolv\.conf|mtab)|(?:dev|proc|sys)(?:\/|$))/.test(path);
    const keep = (tree: Map<string, string>, asOpened: boolean) =>
      [...tree]
        .filter(([path]) => !isAddition(path) && !isMountPoint(path))
        .map(([path, entry]) => {
          const [type = '', mode = '', ...rest] = entry.split(' ');
          const opened = type === 'link' ? mode : openToAll(parseInt(mode, 8)).toString(8);
          return [path, [type, asOpened ? opened : mode, ...rest].join(' ')].join(': ');
        })
        .sort();
    expect(own.size).toBeGreaterThan(1000);
    // The one documented difference of modes: everybody may read what the owner may.
    expect(keep(own, false)).toEqual(keep(theirs, true));
  });

  it('is read by all of Apptainer', async () => {
    expect(await onLogin('apptainer sif list /tmp/native.sif')).toMatch(
      /FS \(Squashfs\/\*System\/amd64\)[\s\S]*Def\.FILE/,
    );
    expect(await onLogin('apptainer inspect --labels /tmp/native.sif')).toContain('who: Ada "L"');
    expect(await onLogin('apptainer inspect --deffile /tmp/native.sif')).toContain(`from: ${id}`);
    expect(await onLogin('apptainer inspect --runscript /tmp/native.sif')).toContain("'hello world'");
    expect(await onLogin('apptainer --quiet run /tmp/native.sif')).toBe('hello world and $HOME');
    expect(await onLogin('apptainer --quiet run /tmp/native.sif "a  b"')).toBe('hello world a  b');
    expect(await onLogin('apptainer --quiet exec /tmp/native.sif printenv A B')).toBe('x y\n$HOME');
    expect(await onLogin('echo "echo in a shell" | apptainer --quiet shell /tmp/native.sif')).toContain('in a shell');
    expect(await onLogin('apptainer verify /tmp/native.sif 2>&1 || true')).toContain('signature not found');
    expect(await onLogin('apptainer sif dump 5 /tmp/native.sif')).toContain('"Entrypoint":["echo","hello world"]');
  });

  it('has the same bytes when the image is converted again', async () => {
    const again = join(scratch, 'again.sif');
    await convert(id, again, '--no-cache');
    expect((await readFile(again)).equals(await readFile(native))).toBe(true);
  });

  it('is made of what BuildKit has built', async (context) => {
    const buildx = await execa('/usr/bin/docker', ['version', '--format', '{{.Client.Version}}'], { reject: false });
    if (buildx.exitCode !== 0) return context.skip('there is no /usr/bin/docker, whose BuildKit needs no plugin');
    const directory = await mkdtemp(join(scratch, 'buildkit-'));
    await writeFile(
      join(directory, 'Dockerfile'),
      'FROM debian:trixie-slim\nRUN --mount=type=tmpfs,target=/t echo built >/built\n',
    );
    const request = {
      dockerfile: join(directory, 'Dockerfile'),
      context: directory,
      args: {},
      tag: 'hpcrun-test/buildkit',
    };
    const script = `import { CliEngine } from ${JSON.stringify(join(process.cwd(), 'dist/src/image/cli-engine.js'))};
console.log(await new CliEngine('docker').build(${JSON.stringify(request)}, { signal: new AbortController().signal }));`;
    const environment = { DOCKER_BUILDKIT: '1', PATH: `/usr/bin:${process.env.PATH ?? ''}` };
    const { stdout } = await execa('node', ['--input-type=module', '--eval', script], { env: environment });
    expect(stdout).toMatch(/^sha256:[0-9a-f]{64}$/);
    await convert(stdout, join(scratch, 'buildkit.sif'), '--no-cache');
    expect([...(await treeOf(join(scratch, 'buildkit.sif'))).keys()]).toContain('built');
  });

  it('is not written over another file without --force, and says how', async () => {
    const result = await hpcrun(['convert', '--json', id, native], { cwd: scratch });
    expect(result.exitCode).toBe(2);
    expect(result.stderr).toContain('OUTPUT_EXISTS');
  });
});

describe('an image that has changed', () => {
  /** mulberry32: the same numbers for the same seed, so that a failure can be had again. */
  const randomFrom = (seed: number) => {
    let state = seed;
    return (below: number) => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
    };
  };

  /** Shell commands that make many small trees, and such that change them; each may find anything in its place. */
  const makeTrees = (seed: number): { make: string; change: string } => {
    const random = randomFrom(seed);
    const place = (tree: number) => `/trees/${tree}/${'abcd'.charAt(random(4))}`;
    const makers = [
      (at: string) => `mkdir -p ${at} && echo ${random(9)} >${at}/${random(3)}`,
      (at: string) => `[ -e ${at} ] || echo file ${random(9)} >${at}`,
      (at: string) => `[ -e ${at} ] || ln -s ${random(3)} ${at}`,
      (at: string) => `[ -d ${at} ] && mkdir -p ${at}/d/e && echo deep >${at}/d/e/${random(3)}`,
      (at: string) => `[ -f ${at} ] && ln -f ${at} ${at}.hard`,
    ];
    const changers = [
      (at: string) => `rm -rf ${at}`,
      (at: string) => `rm -rf ${at}; mkdir ${at}; echo new >${at}/new`,
      (at: string) => `rm -rf ${at}; ln -s /trees ${at}`,
      (at: string) => `rm -rf ${at}; echo other >${at}`,
      (at: string) => `[ -e ${at} ] && [ ! -L ${at} ] && chmod 700 ${at}`,
      (at: string) => `[ -e ${at} ] && mv ${at} ${at}.moved${random(99)}`,
      // The same size and time, but other content.
      (at: string) =>
        `[ -f ${at} ] && [ ! -L ${at} ] && t=$(stat -c %Y ${at}) && echo FILE 0 >${at} && touch -d @$t ${at}`,
      (at: string) => `[ -d ${at} ] && [ ! -L ${at} ] && rm -rf ${at}/* && echo x >${at}/x`,
      (at: string) => `[ -f ${at} ] && touch -d 2001-01-01 ${at}`,
    ];
    const commands = (kinds: ((at: string) => string)[], times: number) =>
      Array.from({ length: 60 }, (_, tree) =>
        Array.from({ length: times }, () => kinds[random(kinds.length)]?.(place(tree)) ?? ''),
      ).flat();
    const directories = 'for tree in $(seq 0 59); do mkdir -p /trees/$tree; done';
    const make = [directories, ...commands(makers, 12), 'true'].join('\n');
    return { make, change: [...commands(changers, 5), 'true'].join('\n') };
  };
  const inBase64 = (script: string) =>
    `RUN echo ${Buffer.from(script).toString('base64')} | base64 -d | sh 2>/dev/null`;

  const listing = `cd /trees && find . -printf '%p %y %m %T@ %l ' \\( -type f -exec sha256sum {} \\; -o -printf '\\n' \\) | sed 's/  *\\.[^ ]*$//' | sort`;
  const opened = (text: string) =>
    text.replaceAll(
      /^(\S+ [df]) (\d+)/gm,
      (_, start: string, mode: string) => `${start} ${openToAll(parseInt(mode, 8)).toString(8)}`,
    );
  // Hosts and images agree on whole seconds only.
  const wholeSeconds = (text: string) => text.replaceAll(/(\d{9,})\.\d+/g, '$1');

  it.each([1, 20, 300])('is stacked, and shows exactly the files of the new image (seed %i)', async (seed) => {
    const { make, change } = makeTrees(seed);
    const lines = ['FROM debian:trixie-slim', inBase64(make)];
    const base = await build(`${lines.join('\n')}\n`, 'hpcrun-test/trees');
    const changed = await build(`${[...lines, inBase64(change)].join('\n')}\n`, 'hpcrun-test/trees');
    await convert(base, join(scratch, 'base.sif'));
    const output = join(scratch, 'changed.sif');
    expect(await convert(changed, output)).toMatchObject({ how: 'stacked' });
    const { objects } = await readSif(output);
    expect(objects.map(({ type }) => type).slice(0, 2)).toEqual(['system', 'overlay']);
    // The base may be a stack itself, on what other tests have converted.
    expect(objects.findLast(({ type }) => type === 'overlay')?.sizeBytes).toBeLessThan(200_000);

    const args = ['run', '--rm', '--network', 'none', changed, 'sh', '-c', listing];
    const inDocker = (await execa('docker', args)).stdout;
    await copyToLogin(output, '/tmp/changed.sif');
    const stacked = await onLogin(
      `apptainer --quiet exec /tmp/changed.sif sh -c ${JSON.stringify(listing).replaceAll('$', '\\$')}`,
    );
    expect(stacked.split('\n').length).toBeGreaterThan(100);
    expect(wholeSeconds(stacked)).toBe(opened(wholeSeconds(inDocker)));
  });

  it('is stacked on a stack, and becomes one SIF again when too much has changed', async () => {
    const lines = ['FROM debian:trixie-slim'];
    const how: unknown[] = [];
    const sizes: number[] = [];
    for (const word of ['one', 'two', 'three', 'four', 'five', 'six']) {
      lines.push(`RUN echo ${word} >/opt/word && touch /opt/${word} && rm -f /opt/two`);
      const id = await build(`${lines.join('\n')}\n`, 'hpcrun-test/words');
      const output = join(scratch, 'words.sif');
      how.push((await convert(id, output)).how);
      sizes.push((await readSif(output)).objects.filter(({ type }) => type === 'overlay').length);
    }
    expect(how.slice(1)).toEqual(Array(5).fill('stacked'));
    expect(Math.max(...sizes)).toBe(3);
    await copyToLogin(join(scratch, 'words.sif'), '/tmp/words.sif');
    expect(await onLogin('apptainer --quiet exec /tmp/words.sif sh -c "cat /opt/word; ls /opt"')).toBe(
      'six\nfive\nfour\none\nsix\nthree\nword',
    );

    lines.push('RUN head -c 60000000 /dev/urandom >/opt/large');
    const id = await build(`${lines.join('\n')}\n`, 'hpcrun-test/words');
    expect(await convert(id, join(scratch, 'words.sif'))).toMatchObject({ how: 'converted' });
  });

  it('is converted as a whole where it cannot be listed, and --no-cache always does', async () => {
    const base = await build('FROM debian:trixie-slim\nRUN echo 1 >/opt/v\n', 'hpcrun-test/unlisted');
    await convert(base, join(scratch, 'unlisted.sif'));
    const changes = ['VOLUME /opt', 'RUN rm /usr/bin/find', 'RUN rm -f /bin/sh', 'RUN rm /usr/bin/tar'];
    for (const change of changes) {
      const id = await build(`FROM debian:trixie-slim\nRUN echo 1 >/opt/v\n${change}\n`, 'hpcrun-test/unlisted');
      expect(await convert(id, join(scratch, 'unlisted.sif'))).toMatchObject({ how: 'converted' });
    }
    expect(await convert(base, join(scratch, 'unlisted.sif'))).toMatchObject({ how: 'cached' });
    expect(await convert(base, join(scratch, 'unlisted.sif'), '--no-cache')).toMatchObject({ how: 'converted' });
  });
});

describe('Podman', () => {
  it('gives the same SIF as Docker', async (context) => {
    const version = await execa('podman', ['version'], { reject: false });
    if (version.exitCode !== 0) return context.skip('podman is not installed');
    const podman = new CliEngine('podman');
    const directory = await mkdtemp(join(scratch, 'podman-'));
    const archive = join(directory, 'base.tar');
    await execa('docker', ['save', '--output', archive, 'debian:trixie-slim']);
    await execa('podman', ['load', '--input', archive]);
    const dockerfile = join(directory, 'Dockerfile');
    await mkdir(join(directory, 'context'));
    await writeFile(
      dockerfile,
      'FROM debian:trixie-slim\nENV A="1 2"\nHEALTHCHECK CMD true\nRUN echo made >/opt/made\n',
    );
    // Without the privileges that containers in containers lack.
    process.env.BUILDAH_ISOLATION = 'chroot';
    const request = { dockerfile, context: join(directory, 'context'), args: {}, tag: 'hpcrun-test/podman' };
    const id = await podman.build(request, { signal });
    expect(await podman.architecture({ signal })).toBe('amd64');
    expect(await podman.inspect('hpcrun-test/podman', { signal })).toMatchObject({
      id,
      healthcheck: ['CMD-SHELL', 'true'],
    });
    expect(await podman.inspect('hpcrun-test/none', { signal })).toBeUndefined();

    const output = join(directory, 'podman.sif');
    const result = await hpcrun(['convert', '--json', '--engine', 'podman', 'hpcrun-test/podman', output], {
      cwd: scratch,
    });
    expect(result.exitCode).toBe(0);
    await copyToLogin(output, '/tmp/podman.sif');
    expect(await onLogin('apptainer --quiet exec /tmp/podman.sif sh -c \'cat /opt/made; echo "$A"\'')).toBe(
      'made\n1 2',
    );

    // The same image, handed over to Docker.
    const saved = join(directory, 'image.tar');
    await execa('podman', ['save', '--format', 'docker-archive', '--output', saved, 'localhost/hpcrun-test/podman']);
    await execa('docker', ['load', '--input', saved]);
    const byDocker = join(directory, 'docker.sif');
    await convert('localhost/hpcrun-test/podman', byDocker, '--no-cache');
    expect(await treeOf(byDocker)).toEqual(await treeOf(output));
  });
});
