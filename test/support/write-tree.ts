import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** What stands at a path: a text, an executable text or a link. */
export type TreeEntry = string | { executable: string } | { link: string };

/** Writes files and links below a directory, with the directories they need. */
export async function writeTree(directory: string, tree: Record<string, TreeEntry>): Promise<void> {
  for (const [path, entry] of Object.entries(tree)) {
    const full = join(directory, path);
    await mkdir(dirname(full), { recursive: true });
    if (typeof entry === 'string') await writeFile(full, entry);
    else if ('link' in entry) await symlink(entry.link, full);
    else {
      await writeFile(full, entry.executable);
      await chmod(full, 0o755);
    }
  }
}
