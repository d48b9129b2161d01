import { join } from 'node:path';
import { z } from 'zod';
import type { ResolvedCluster } from '../config/cluster.js';
import { readJsonFile, writeAtomically } from '../local-file.js';

const maximumObjects = 100_000;

const fileSchema = z.object({
  /** The place that all of this is about. */
  place: z.string(),
  hasHardLinks: z.boolean(),
  objects: z.array(z.string()),
});

/**
 * What this machine believes to be in the objects' directory of a cluster: what it has sent there, and what was there when it
 * asked. Only a belief, because other machines and clean-ups change things, too; a submission notices when it is wrong. The
 * objects used longest ago are forgotten beyond 100,000.
 */
export class SentObjects {
  private constructor(
    private readonly file: string,
    private readonly place: string,
    private readonly names: Set<string>,
    private hardLinks: boolean,
  ) {}

  /** @param root hpcrun's directory on the cluster, absolute; another root is another place */
  static async load({ stateDirectory, host, port, user }: ResolvedCluster, root: string): Promise<SentObjects> {
    const file = join(stateDirectory, 'objects.json');
    const place = JSON.stringify([host, port, user, root]);
    const known = await readJsonFile(file, fileSchema);
    return known?.place === place
      ? new SentObjects(file, place, new Set(known.objects), known.hasHardLinks)
      : new SentObjects(file, place, new Set(), true);
  }

  has(name: string): boolean {
    return this.names.has(name);
  }

  /** Whether hard links can be made there; true until a submission has found out otherwise. */
  get hasHardLinks(): boolean {
    return this.hardLinks;
  }

  /** Remembers that these are there and, where something has changed, writes it down. */
  async confirm(names: Iterable<string>): Promise<void> {
    const all = [...names];
    if (all.every((name) => this.names.has(name))) return;
    for (const name of all) {
      this.names.delete(name);
      this.names.add(name);
    }
    await this.save();
  }

  /** Remembers that these are not there. */
  forget(names: Iterable<string>): void {
    for (const name of names) this.names.delete(name);
  }

  async rememberNoHardLinks(): Promise<void> {
    this.hardLinks = false;
    await this.save();
  }

  private async save(): Promise<void> {
    const objects = [...this.names].slice(-maximumObjects);
    await writeAtomically(
      this.file,
      JSON.stringify({ place: this.place, hasHardLinks: this.hardLinks, objects } satisfies z.output<
        typeof fileSchema
      >),
    );
  }
}
