import { rm } from 'node:fs/promises';
import { throwIfInterrupted } from '../../errors.js';
import type { ImageInfo } from '../../image/engine.js';
import { formatBytes, withStep, type Progress } from '../../progress.js';
import type { KnownConversions } from './known-conversions.js';
import type { ApptainerWay, ConvertedFile } from './way-in.js';

export interface ObtainOptions {
  known: KnownConversions;
  /** Convert again what has been converted before. */
  noCache: boolean;
  /** Where the work is done, for people: a cluster's name. */
  clusterName: string;
  progress: Progress;
  signal: AbortSignal;
}

/** An image as a SIF by one of Apptainer's ways: from an earlier conversion if there was one. */
export async function obtainConverted(
  way: ApptainerWay,
  info: ImageInfo,
  { known, noCache, clusterName, progress, signal }: ObtainOptions,
): Promise<{ file: ConvertedFile; converted: boolean }> {
  const before = noCache ? undefined : await known.find(info.id, way);
  if (before) return { file: before, converted: false };
  const where = way.place === 'local' ? 'with Apptainer' : `on ${clusterName}`;
  return await withStep(
    progress,
    `Converting to SIF ${where} (${way.name})`,
    async (step) => {
      const outputPath = await known.temporaryPath();
      const onProgress = (detail: string) => {
        step.update(detail);
      };
      try {
        const file = await way.convert(info, { outputPath, signal, onProgress });
        return { file: await known.store(info.id, way, file), converted: true };
      } catch (error) {
        await rm(outputPath, { force: true });
        throwIfInterrupted(signal);
        throw error;
      }
    },
    ({ file }) => `Converted to SIF ${where} (${formatBytes(file.sizeBytes)})`,
  );
}
