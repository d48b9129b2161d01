import type { Resources } from '../../config/resources.js';
import type { ResourceRequest } from '../../slurm/directives.js';
import { renderJobBuild } from './job-build.js';
import { buildFromArchive } from './far-build.js';
import type { FarSide } from './probe-far-side.js';
import type { ApptainerWay, ConversionContext } from './way-in.js';

// A run may ask for days; a conversion that asks for no more than it needs starts earlier.
const maximumSeconds = 2 * 60 * 60;

/** `apptainer build` as a SLURM job, from the image's archive, for sites that want no heavy work on their login nodes. */
export function slurmWay(context: ConversionContext, farSide: (signal: AbortSignal) => Promise<FarSide>): ApptainerWay {
  const { cluster } = context;
  const resources = conversionResources(context.resources);
  return {
    name: 'slurm',
    place: 'cluster',
    recipe: `slurm ${context.compression}`,
    probe: async (signal) => {
      const { hasSbatch } = await farSide(signal);
      return hasSbatch
        ? { possible: true, why: `a job on ${cluster.name} can run Apptainer` }
        : { possible: false, why: `${cluster.name} has no sbatch` };
    },
    convert: (info, options) =>
      buildFromArchive(
        context,
        'slurm',
        (build) => renderJobBuild({ ...build, resources, rules: cluster.slurm, pollSeconds: cluster.pollSeconds }),
        info,
        options,
      ),
  };
}

/** The run's own resources as far as they concern a conversion. */
export function conversionResources(resources: Resources): ResourceRequest {
  const { cpus, memory, time, partition, account, qos, reservation } = resources;
  const limit = time === undefined ? undefined : Math.min(time, maximumSeconds);
  return { cpus, memory, time: limit, partition, account, qos, reservation };
}
