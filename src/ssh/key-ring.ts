import type { ParsedKey } from 'ssh2';

/** The private keys that have been opened. A passphrase is asked for once, whatever number of connections needs the key. */
export class KeyRing {
  private readonly opened = new Map<string, Promise<ParsedKey | undefined>>();

  /**
   * @param path the key's file
   * @param decrypt opens it; undefined for one that cannot be used
   */
  open(path: string, decrypt: () => Promise<ParsedKey | undefined>): Promise<ParsedKey | undefined> {
    let opening = this.opened.get(path);
    if (!opening) {
      opening = decrypt();
      this.opened.set(path, opening);
      // A question that could not be answered may be asked again, by somebody who can be asked.
      opening.catch(() => this.opened.delete(path));
    }
    return opening;
  }
}
