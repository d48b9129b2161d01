import { renderLoginBuild } from './login-build.js';
import { buildFromArchive } from './far-build.js';
import type { FarSide } from './probe-far-side.js';
import type { ApptainerWay, ConversionContext } from './way-in.js';

/** `apptainer build` on the login node, from the image's archive. */
export function remoteWay(
  context: ConversionContext,
  farSide: (signal: AbortSignal) => Promise<FarSide>,
): ApptainerWay {
  const { cluster } = context;
  return {
    name: 'remote',
    place: 'cluster',
    recipe: `remote ${context.compression}`,
    probe: async (signal) => {
      const { container } = await farSide(signal);
      return container === undefined
        ? { possible: false, why: `the login node of ${cluster.name} has neither apptainer nor singularity` }
        : { possible: true, why: `the login node of ${cluster.name} has ${container}` };
    },
    convert: (info, options) =>
      buildFromArchive(context, 'remote', (build) => renderLoginBuild(build, { kind: 'archive' }), info, options),
  };
}
