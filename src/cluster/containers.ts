import { join } from 'node:path';
import { z } from 'zod';
import type { ResolvedCluster } from '../config/cluster.js';
import { readJsonFile, writeAtomically } from '../local-file.js';
import type { Connection } from '../ssh/connection.js';
import { quote } from '../ssh/quote.js';
import { runRemote } from '../ssh/remote-script.js';
import type { RemoteLayout } from './layout.js';

const factsSchema = z.object({
  /** Whether squashfs files can be mounted over an image. */
  overlays: z.boolean(),
  /** Whether squashfs compressed with zstd can be read. */
  zstd: z.boolean(),
  /** Release of the compute nodes' kernel, such as `5.14.0`. */
  kernel: z.string(),
  /** Release of NVIDIA's driver there, such as `550.54.15`; empty without one. */
  driver: z.string(),
  /** What the container program there says of its version; absent where an older hpcrun has asked. */
  container: z.string().optional(),
  /** Whether nodes reach the internet. */
  internet: z.boolean().optional(),
});

/** What containers can do on a cluster's compute nodes. */
export type ContainerFacts = z.output<typeof factsSchema>;

const cacheSchema = z.object({ question: z.string(), askedAt: z.number(), facts: factsSchema });

const validForMs = 24 * 60 * 60 * 1000;

/** After so many days, a job looks again: nodes are updated, and one may have had a bad day. */
const validForDays = 30;

/**
 * What the first job of hpcrun's on a cluster has found out about containers there and left beside the runs; undefined until
 * one has. Only a compute node knows: login nodes often have another kernel and no Apptainer.
 */
export async function learnContainers(
  cluster: ResolvedCluster,
  layout: RemoteLayout,
  connection: Connection,
  signal: AbortSignal,
): Promise<ContainerFacts | undefined> {
  const file = join(cluster.stateDirectory, 'containers.json');
  const { host, port, user } = cluster;
  const question = JSON.stringify([host, port, user, layout.root]);
  const known = await readJsonFile(file, cacheSchema);
  if (known?.question === question && Date.now() - known.askedAt < validForMs) return known.facts;
  const script = `find ${quote(layout.containers)} -mtime -${validForDays} -exec cat {} + 2>/dev/null || :\n`;
  const { stdout } = await runRemote(connection, 'asking what containers can do', script, { signal });
  const facts = parseContainers(stdout.toString('utf8'));
  if (facts) await writeAtomically(file, JSON.stringify({ question, askedAt: Date.now(), facts }));
  return facts;
}

/** The lines `name value` that the job's probe writes; undefined if they are not all there. */
export function parseContainers(text: string): ContainerFacts | undefined {
  const values = new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const match = /^(\w+) ?(.*)$/.exec(line);
      return match ? [[match[1] ?? '', match[2] ?? '']] : [];
    }),
  );
  const { overlays, zstd, kernel, driver, container, internet } = Object.fromEntries(values);
  return factsSchema.safeParse({
    ...{ overlays: overlays === 'yes', zstd: zstd === 'yes', kernel, driver },
    ...(container ? { container } : {}),
    ...(internet ? { internet: internet === 'yes' } : {}),
  }).data;
}
