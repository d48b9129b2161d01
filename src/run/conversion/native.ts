import { HpcrunError } from '../../errors.js';
import { ensureHelperImage } from '../../image/helper-container.js';
import { requireMksquashfs } from '../../image/squash.js';
import type { ConversionContext, NativeWay, Possibility } from './way-in.js';

/** hpcrun's own conversion: the engine's export into mksquashfs, on this machine or in a helper container. */
export function nativeWay({ engine }: Pick<ConversionContext, 'engine'>): NativeWay {
  return {
    name: 'native',
    probe: async (signal) => (await probeLocal(signal)) ?? (await probeHelper(engine, signal)),
  };
}

async function probeLocal(signal: AbortSignal): Promise<Possibility | undefined> {
  try {
    return { possible: true, why: `mksquashfs ${await requireMksquashfs(signal)} is here` };
  } catch (error) {
    if (error instanceof HpcrunError && error.code === 'MKSQUASHFS_MISSING') return undefined;
    throw error;
  }
}

/** Builds the helper's image if need be: only then is it certain. */
async function probeHelper(engine: ConversionContext['engine'], signal: AbortSignal): Promise<Possibility> {
  try {
    const found = await engine();
    await ensureHelperImage(found, { signal });
    return { possible: true, why: `mksquashfs is not here and runs in a container of ${found.name}` };
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code === 'INTERRUPTED') throw error;
    const [line = ''] = error.message.split('\n');
    return { possible: false, why: `mksquashfs is not here, and a container for it cannot be made (${line})` };
  }
}
