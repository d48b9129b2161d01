import { constants, type FileHandle, copyFile, open, rm, stat, truncate } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { HpcrunError, isMissing } from '../errors.js';
import { renderContainerMetadata } from './container-metadata.js';
import { emptyImage, type ImageInfo } from './engine.js';
import {
  alignPartition,
  parseSifHead,
  partitionAlignment,
  partitionOffset,
  renderSifHead,
  type SifContents,
  type SifObject,
} from './sif.js';

/** What stands in a SIF beside its file systems, under the names Apptainer looks for. */
function renderObjects(info: ImageInfo): { type: SifObject['type']; name: string; bytes: Buffer }[] {
  const files = new Map(
    renderContainerMetadata(info).flatMap(({ path, content }) =>
      content.type === 'file' ? [[`/${path}`, content.bytes.toString('utf8')]] : [],
    ),
  );
  const definition = `bootstrap: docker-daemon\nfrom: ${info.id}\n`;
  const labels = sorted(info.labels);
  const environment = Object.fromEntries([...files].filter(([path]) => path.startsWith('/.singularity.d/env/')));
  const runscript = files.get('/.singularity.d/runscript') ?? '';
  const inspected = {
    data: { attributes: { deffile: definition, environment, labels, runscript } },
    type: 'container',
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value), 'utf8');
  return [
    { type: 'definition', name: 'Singularity', bytes: Buffer.from(definition, 'utf8') },
    { type: 'labels', name: 'labels.json', bytes: json(labels) },
    { type: 'json', name: 'inspect-metadata.json', bytes: json(inspected) },
    { type: 'json', name: configName, bytes: json(renderConfig(info)) },
  ];
}

const configName = 'oci-config.json';

/** OCI image specification, "Image Configuration", the member `config`. */
function renderConfig(info: ImageInfo): Record<string, unknown> {
  const present = (paths: string[]) => Object.fromEntries(paths.map((path) => [path, {}]));
  return {
    ...(info.user === '' ? {} : { User: info.user }),
    ...(info.ports.length === 0 ? {} : { ExposedPorts: present(info.ports) }),
    Env: info.environment,
    Entrypoint: info.entrypoint,
    Cmd: info.command,
    ...(info.volumes.length === 0 ? {} : { Volumes: present(info.volumes) }),
    WorkingDir: info.workingDirectory,
    Labels: sorted(info.labels),
  };
}

const configSchema = z.object({
  User: z.string().nullish(),
  ExposedPorts: z.record(z.string(), z.unknown()).nullish(),
  Env: z.array(z.string()).nullish(),
  Entrypoint: z.array(z.string()).nullish(),
  Cmd: z.array(z.string()).nullish(),
  Volumes: z.record(z.string(), z.unknown()).nullish(),
  WorkingDir: z.string().nullish(),
  Labels: z.record(z.string(), z.string()).nullish(),
});

function sorted(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Makes a SIF of a file that holds a squashfs behind `partitionOffset` free bytes: appends the image's metadata and writes
 * the head in front.
 */
export async function completeSif(path: string, info: ImageInfo): Promise<void> {
  const { size } = await stat(path);
  await withFile(path, async (file) => {
    const root = {
      type: 'system',
      name: 'rootfs.squashfs',
      offset: partitionOffset,
      sizeBytes: size - partitionOffset,
    } as const;
    await finish(file, info, [root]);
  });
}

/**
 * Copies a SIF that `completeSif` made and adds overlays, each a squashfs file, as further partitions; the metadata
 * becomes that of `info`. Any output that is not finished is removed.
 */
export async function assembleSif(
  basePath: string,
  overlayPaths: string[],
  info: ImageInfo,
  outputPath: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    // A copy that shares its blocks, where the file system can.
    await copyFile(basePath, outputPath, constants.COPYFILE_FICLONE);
    const base = await readSif(outputPath);
    const root = base.objects.find(({ type }) => type === 'system');
    if (!root) throw notASif(basePath, 'it has no root file system');
    await truncate(outputPath, root.offset + root.sizeBytes);
    await withFile(outputPath, async (file) => {
      const partitions: SifObject[] = [root];
      for (const [index, overlayPath] of overlayPaths.entries()) {
        const offset = alignPartition(endOf(partitions));
        const sizeBytes = await append(file, overlayPath, offset, signal);
        partitions.push({ type: 'overlay', name: `overlay-${index + 1}.squashfs`, offset, sizeBytes });
      }
      await finish(file, info, partitions);
    });
  } catch (error) {
    await rm(outputPath, { force: true });
    throw error;
  }
}

async function withFile(path: string, work: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await work(file);
  } finally {
    await file.close();
  }
}

async function append(file: FileHandle, sourcePath: string, offset: number, signal: AbortSignal): Promise<number> {
  let at = offset;
  for await (const chunk of createReadStream(sourcePath, { highWaterMark: 1 << 20, signal }) as AsyncIterable<Buffer>) {
    await file.write(chunk, 0, chunk.length, at);
    at += chunk.length;
  }
  return at - offset;
}

function endOf(objects: SifObject[]): number {
  return Math.max(...objects.map(({ offset, sizeBytes }) => offset + sizeBytes));
}

async function finish(file: FileHandle, info: ImageInfo, partitions: SifObject[]): Promise<void> {
  let at = alignPartition(endOf(partitions));
  const objects: SifObject[] = [...partitions];
  for (const { type, name, bytes } of renderObjects(info)) {
    await file.write(bytes, 0, bytes.length, at);
    objects.push({ type, name, offset: at, sizeBytes: bytes.length });
    at += bytes.length;
  }
  await file.truncate(Math.ceil(at / partitionAlignment) * partitionAlignment);
  const head = renderSifHead({ architecture: info.architecture, objects });
  await file.write(head, 0, head.length, 0);
}

/** What is in a SIF. Throws IMAGE_NOT_FOUND if there is no such file or it is not one. */
export async function readSif(path: string): Promise<SifContents> {
  const head = Buffer.alloc(partitionOffset);
  let bytesRead: number;
  try {
    const file = await open(path, 'r');
    try {
      ({ bytesRead } = await file.read(head, 0, head.length, 0));
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) throw notASif(path, 'there is no such file');
    throw error;
  }
  const contents = parseSifHead(head.subarray(0, bytesRead));
  if (!contents) throw notASif(path, 'it does not begin like one');
  const { size } = await stat(path);
  if (endOf([...contents.objects, { type: 'json', name: '', offset: 0, sizeBytes: 0 }]) > size)
    throw notASif(path, 'it is cut short');
  return contents;
}

/** The image a SIF was made from, as far as it says; an image that says nothing where it does not. */
export async function readSifInfo(path: string): Promise<ImageInfo> {
  const { architecture, objects } = await readSif(path);
  const object = objects.find(({ type, name }) => type === 'json' && name === configName);
  const config = object ? configSchema.safeParse(await readJson(path, object)).data : undefined;
  return {
    ...emptyImage,
    architecture,
    entrypoint: config?.Entrypoint ?? [],
    // Without its configuration, the script that `apptainer run` would run.
    command: config?.Cmd ?? (config ? [] : ['/.singularity.d/runscript']),
    environment: config?.Env ?? [],
    labels: config?.Labels ?? {},
    user: config?.User ?? '',
    workingDirectory: config?.WorkingDir ?? '/',
    volumes: Object.keys(config?.Volumes ?? {}).sort(),
    ports: Object.keys(config?.ExposedPorts ?? {}).sort(),
  };
}

async function readJson(path: string, { offset, sizeBytes }: SifObject): Promise<unknown> {
  const bytes = (await readFileRange(path, offset, sizeBytes)).toString('utf8');
  try {
    return JSON.parse(bytes);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function readFileRange(path: string, offset: number, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path, {
    start: offset,
    end: offset + length - 1,
  }) as AsyncIterable<Buffer>)
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

function notASif(path: string, why: string): HpcrunError {
  return new HpcrunError('IMAGE_NOT_FOUND', `${path} is not a SIF image: ${why}`, {
    hint: 'hpcrun convert IMAGE OUT.sif makes one.',
  });
}
