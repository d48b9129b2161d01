import { rm } from 'node:fs/promises';
import { throwIfInterrupted } from '../errors.js';
import { renderContainerMetadata } from './container-metadata.js';
import { digest, readExport, type ConvertedImage, type ConvertOptions } from './convert.js';
import { engineFailed } from './engine-errors.js';
import type { ContainerEngine, ImageInfo } from './engine.js';
import { rewriteRootfs } from './rewrite-rootfs.js';
import { RootfsSurveyor, type RootfsSurvey } from './rootfs-survey.js';
import { findMksquashfs, writeSquashfs } from './squash.js';
import type { TarEntry } from './tar-header.js';
import type { TreeDifference } from './tree-difference.js';
import { clearEnvironment } from './tree-listing.js';

// Names come as a list, each ended by NUL and with ./ in front, so that none of them means anything to tar.
const script = [
  clearEnvironment,
  'cd / && exec tar --create --file=- --format=pax --numeric-owner --no-recursion --null --verbatim-files-from --files-from=-',
].join('; ');

/**
 * Writes an overlay: a squashfs that, mounted over the SIF the difference was made against, shows what converting the image
 * as a whole would give. Entries that are gone are hidden by whiteouts, character devices 0:0; there are no opaque directories, because an
 * unprivileged mount does not honour the attribute that marks them. On any failure `outputPath` is removed. Throws what
 * convertImage throws; ENGINE_FAILED also where the image has no GNU tar.
 */
export async function convertOverlay(
  engine: ContainerEngine,
  info: ImageInfo,
  difference: TreeDifference,
  outputPath: string,
  options: ConvertOptions,
): Promise<ConvertedImage & { survey: RootfsSurvey }> {
  throwIfInterrupted(options.signal);
  const mksquashfs = await findMksquashfs(engine, options.signal);
  const names = Buffer.from(difference.changed.map((path) => `./${path}\0`).join(''), 'latin1');
  const surveyor = new RootfsSurveyor(info.volumes);
  const output = engine.runScript(info, script, { signal: options.signal, input: names });
  try {
    const additions = [...difference.made, ...difference.removed.map(whiteout), ...renderContainerMetadata(info)];
    const tar = rewriteRootfs(
      readExport({ pieces: output.stream, completed: output.completed }, options.onProgress),
      additions,
      {
        permissions: options.permissions,
        directories: [],
        normalizedPaths: [],
        isPartial: true,
        observe: surveyor.observe,
      },
    );
    await writeSquashfs(tar, outputPath, { ...options, mksquashfs, offset: 0 });
    const survey = surveyor.survey();
    if (survey.entries !== difference.changed.length)
      throw engineFailed(engine.name, `of ${difference.changed.length} changed entries, ${survey.entries} came`);
    return { ...(await digest(outputPath, options.signal)), survey };
  } catch (error) {
    await rm(outputPath, { force: true });
    throwIfInterrupted(options.signal);
    throw error;
  } finally {
    await output.dispose();
  }
}

function whiteout(path: string): TarEntry {
  return { path, mode: 0, content: { type: 'whiteout' } };
}
