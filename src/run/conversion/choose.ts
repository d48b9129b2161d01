import type { Conversion } from '../../config/schema.js';
import { HpcrunError } from '../../errors.js';
import { jobModules } from '../describe-run.js';
import { apptainerWay } from './apptainer.js';
import { nativeWay } from './native.js';
import { probeFarSide, type FarSide } from './probe-far-side.js';
import { registryWay } from './registry.js';
import { remoteWay } from './remote.js';
import { slurmWay } from './slurm.js';
import type { ConversionContext, WayIn } from './way-in.js';

/** All ways in the order in which `auto` tries them: the fastest first, and a job before work on a login node. */
export function makeWays(context: ConversionContext): WayIn[] {
  let asked: Promise<FarSide> | undefined;
  const farSide = (signal: AbortSignal) => {
    asked ??= context.connect().then((connection) => probeFarSide(connection, jobModules(context.cluster), signal));
    return asked;
  };
  return [
    nativeWay(context),
    apptainerWay(context),
    slurmWay(context, farSide),
    remoteWay(context, farSide),
    registryWay(context, farSide),
  ];
}

export interface ChosenWay {
  way: WayIn;
  /** One sentence, such as `native: mksquashfs 4.5.1 is here`. */
  why: string;
}

/**
 * The way that was asked for if it is open, or for `auto` the first one that is. Throws CONVERSION_FAILED with what is in the
 * way, and for `auto` what is in the way of each.
 */
export async function chooseWay(wanted: Conversion, ways: WayIn[], signal: AbortSignal): Promise<ChosenWay> {
  const obstacles: string[] = [];
  for (const way of ways) {
    if (wanted !== 'auto' && way.name !== wanted) continue;
    const { possible, why } = await way.probe(signal);
    if (possible) return { way, why: `${way.name}: ${why}` };
    obstacles.push(`${way.name}: ${why}`);
  }
  if (wanted === 'auto') {
    throw new HpcrunError('CONVERSION_FAILED', `no way to a SIF is open:\n${obstacles.join('\n')}`, {
      hint: 'The simplest to mend: install squashfs-tools 4.5 or newer on this machine.',
    });
  }
  throw new HpcrunError('CONVERSION_FAILED', `the image cannot be converted this way: ${obstacles.join('; ')}`, {
    hint: 'Let hpcrun choose: --convert auto',
  });
}
