import type { Registry } from '../../config/schema.js';
import { HpcrunError } from '../../errors.js';
import type { ContainerEngine, ImageInfo } from '../../image/engine.js';
import { renderLoginBuild } from './login-build.js';
import { conversionFailed } from './explain-failure.js';
import { planFarBuild, runFarBuild } from './far-build.js';
import type { FarSide } from './probe-far-side.js';
import { loadCredentials, renderCredentials } from './registry-credentials.js';
import type { ApptainerWay, ConversionContext, WayOptions } from './way-in.js';

/** The engine pushes to a registry, and Apptainer on the login node pulls from it: only layers that are new travel from here. */
export function registryWay(
  context: ConversionContext,
  farSide: (signal: AbortSignal) => Promise<FarSide>,
): ApptainerWay {
  const { cluster, env } = context;
  return {
    name: 'registry',
    place: 'cluster',
    recipe: `registry ${context.compression}`,
    probe: async (signal) => {
      if (cluster.registry === undefined)
        return { possible: false, why: `no registry is configured for ${cluster.name}` };
      const { container } = await farSide(signal);
      return container === undefined
        ? { possible: false, why: `the login node of ${cluster.name} has neither apptainer nor singularity` }
        : { possible: true, why: `${cluster.name} can pull from ${pullName(cluster.registry)}` };
    },
    convert: async (info, { signal, onProgress }) => {
      const { registry } = cluster;
      if (registry === undefined) throw notConfigured(cluster.name);
      const credentials = await loadCredentials(registry, env, signal);
      const digest = await push(await context.engine(), info, registry, { signal, onProgress });
      const script = renderLoginBuild(await planFarBuild(context), {
        kind: 'registry',
        // By digest, so that nobody's later push under the same name is taken for this image.
        reference: `${pullName(registry)}@${digest}`,
        insecure: registry.insecure,
        hasCredentials: credentials !== undefined,
      });
      return await runFarBuild(await context.connect(), script, {
        way: 'registry',
        clusterName: cluster.name,
        ...(credentials === undefined ? {} : { stdin: renderCredentials(credentials) }),
        signal,
        onProgress,
      });
    },
  };
}

function pullName({ push, pull }: Registry): string {
  return pull ?? push;
}

async function push(
  engine: ContainerEngine,
  info: ImageInfo,
  registry: Registry,
  { signal, onProgress }: Pick<WayOptions, 'signal' | 'onProgress'>,
): Promise<string> {
  const reference = `${registry.push}:${info.id.replace('sha256:', '')}`;
  const { insecure } = registry;
  onProgress(`pushing to ${registry.push}`);
  try {
    return await engine.push(info.id, reference, { signal, insecure });
  } catch (error) {
    if (!(error instanceof HpcrunError) || error.code !== 'ENGINE_FAILED') throw error;
    throw conversionFailed({ way: 'registry', place: registry.push, status: 1, output: error.message });
  }
}

function notConfigured(clusterName: string): HpcrunError {
  return new HpcrunError('CONVERSION_FAILED', `no registry is configured for ${clusterName}`, {
    hint: 'Name one in the configuration of the cluster: registry: {push: HOST/NAME}. Or try --convert native.',
  });
}
