import fc from 'fast-check';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderContainerMetadata, splitEnvironment } from '../../src/image/container-metadata.js';
import { emptyImage, type ImageInfo } from '../../src/image/engine.js';
import { quoteAll } from '../../src/ssh/quote.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { anyWord, shellWord } from '../support/text.js';

const image = (changes: Partial<ImageInfo>): ImageInfo => ({
  ...emptyImage,
  ...changes,
});

const fileOf = (info: ImageInfo, path: string) => {
  const entry = renderContainerMetadata(info).find((candidate) => candidate.path === `.singularity.d/${path}`);
  if (entry?.content.type !== 'file') throw new Error(`${path} is not a file of .singularity.d`);
  return { mode: entry.mode, text: entry.content.bytes.toString('utf8') };
};

const word = fc.oneof(anyWord, shellWord);

describe('the environment of an image', () => {
  it('is the same after a shell has read it, whatever its values hold', () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 20 }), (values) => {
        const environment = values.map((value, index) => `V${index}=${value}`);
        const { text } = fileOf(image({ environment }), 'env/10-image.sh');
        const show = values.map((_, index) => `printf '%s\\0' "$V${index}"`).join('\n');
        const { stdout, stderr } = runShell('/bin/sh', `${text}\n${show}`);
        expect(stderr).toBe('');
        expect(stdout).toBe(values.map((value) => `${value}\0`).join(''));
        // The shell that Apptainer has built in would change it.
        expect(text).not.toContain('\r\n');
      }),
      { numRuns: 40 },
    );
  });

  it('leaves out names that no shell can set, and says which', () => {
    const info = image({ environment: ['my.var=1', 'A=x', 'alone', '1B=2', 'UID=1000'] });
    const { text } = fileOf(info, 'env/10-image.sh');
    expect(runShell('/bin/sh', `${text}\necho "$A"`)).toMatchObject({ stdout: 'x\n', stderr: '' });
    expect(splitEnvironment(info).dockerOnly).toEqual(['my.var', 'alone', '1B', 'UID']);
  });

  it('is exported, and a later value of a name wins', () => {
    const environment = ['PATH_TO=/a=b', 'EMPTY=', 'TWICE=1', 'TWICE=2'];
    const { text } = fileOf(image({ environment }), 'env/10-image.sh');
    const { stdout } = runShell('/bin/sh', `${text}\nsh -c 'printf "%s|" "$PATH_TO" "\${EMPTY-unset}" "$TWICE"'`);
    expect(stdout).toBe('/a=b||2|');
  });

  it('writes a single quote in the one way that Apptainer reads as others do', () => {
    const { text } = fileOf(image({ environment: ["A=it's", 'B=\r\n'] }), 'env/10-image.sh');
    expect(text).toBe(`#!/bin/sh\nexport A='it'"'"'s'\nexport B='\r''\n'\n`);
  });

  it("ends with the host's libraries on the library path, where there are any", async () => {
    const directory = await makeTemporaryDirectory();
    const { text } = fileOf(image({}), 'env/99-base.sh');
    const script = text.replaceAll('/.singularity.d', directory);
    const show = (env: Record<string, string> = {}) =>
      runShell('/bin/sh', `${script}\nsh -c 'echo "\${LD_LIBRARY_PATH-unset}"'`, { env }).stdout;
    await mkdir(join(directory, 'libs'));
    expect(show()).toBe('unset\n');
    expect(show({ LD_LIBRARY_PATH: '/opt/lib' })).toBe('/opt/lib\n');
    for (const name of ['libcuda.so.1', 'libOpenCL.so.1']) await writeFile(join(directory, 'libs', name), '');
    expect(show()).toBe(`${directory}/libs\n`);
    expect(show({ LD_LIBRARY_PATH: '/opt/lib' })).toBe(`/opt/lib:${directory}/libs\n`);
  });
});

describe('the runscript', () => {
  it('runs ENTRYPOINT with its arguments in place of CMD, as docker run does', () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), fc.array(word, { maxLength: 4 }), (command, args) => {
        const entrypoint = ['printf', '%s\\0', 'from entrypoint'];
        const { text } = fileOf(image({ entrypoint, command }), 'runscript');
        const { stdout } = runShell('/bin/sh', `set -- ${quoteAll(args)}\n${text}`);
        const expected = ['from entrypoint', ...(args.length > 0 ? args : command)];
        expect(stdout).toBe(expected.map((part) => `${part}\0`).join(''));
      }),
      { numRuns: 40 },
    );
  });

  it('runs CMD alone where there is no ENTRYPOINT', () => {
    const { text } = fileOf(image({ command: ['echo', 'a  b'] }), 'runscript');
    expect(runShell('/bin/sh', text).stdout).toBe('a  b\n');
  });
});

describe('renderContainerMetadata', () => {
  it('makes directories before what is in them, readable by all', () => {
    const entries = renderContainerMetadata(image({}));
    const seen = new Set(['.']);
    for (const { path, mode, content } of entries) {
      expect(seen).toContain(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.');
      if (content.type === 'directory') seen.add(path);
      expect(mode & 0o444).toBe(0o444);
    }
    expect(fileOf(image({}), 'runscript').mode).toBe(0o755);
  });

  it('keeps labels, in an order that does not depend on the engine', () => {
    const { text } = fileOf(image({ labels: { b: 'it\'s "2"', a: '1' } }), 'labels.json');
    expect(JSON.parse(text)).toEqual({ a: '1', b: 'it\'s "2"' });
    expect(text).toBe(fileOf(image({ labels: { a: '1', b: 'it\'s "2"' } }), 'labels.json').text);
  });
});
