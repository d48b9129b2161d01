import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareTrees, type TreeDifference } from '../../src/image/tree-difference.js';
import type { Tree } from '../../src/image/tree-listing.js';

const tree = (entries: Record<string, string>): Tree => ({
  entries: new Map(Object.entries(entries)),
  made: new Map(),
});
const directory = 'd 755 5';

type Node = string | { status: string; children: Record<string, Node> };

const flatten = (children: Record<string, Node>, prefix = ''): [string, string][] =>
  Object.entries(children).flatMap(([name, node]): [string, string][] => {
    const path = `${prefix}${name}`;
    if (typeof node === 'string') return [[path, node]];
    return [[path, node.status], ...flatten(node.children, `${path}/`)];
  });

/** Directories, files of few kinds and links, under names that often meet in two trees. */
const anyTree = fc
  .letrec<{ node: Node; children: Record<string, Node> }>((tie) => ({
    children: fc.dictionary(fc.constantFrom('a', 'b', 'c', 'a.b', 'a-b'), tie('node'), { maxKeys: 4 }),
    node: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(
        'f 644 1 1.5 3',
        'f 644 1 1.6 3',
        'f 600 1 1.6 3',
        'f 644 2 1.5 3',
        'l 1 a',
        'l 1 b',
        'c 600 3 1.5 0',
      ),
      fc.record({ status: fc.constantFrom('d 755 1', 'd 700 1', 'd 755 2'), children: tie('children') }),
    ),
  }))
  .children.map((children): Tree => ({ entries: new Map(flatten(children)), made: new Map() }));

const parentOf = (path: string) => path.slice(0, Math.max(path.lastIndexOf('/'), 0));

/** What a mount shows, by the rules in the Linux kernel's Documentation/filesystems/overlayfs.rst. */
const mount = (base: Tree, target: Tree, { changed, made, removed }: TreeDifference): Map<string, string> => {
  const upper = new Map<string, string>();
  for (const path of [...changed, ...made.map((entry) => entry.path)]) upper.set(path, target.entries.get(path) ?? '?');
  for (const path of removed) upper.set(path, 'whiteout');
  for (const path of upper.keys()) {
    // Without its parents, an entry could not be packed with their right modes and times.
    expect(parentOf(path) === '' || upper.get(parentOf(path))?.startsWith('d')).toBe(true);
  }
  const isHidden = (path: string): boolean => {
    for (let at = parentOf(path); at !== ''; at = parentOf(at)) {
      const above = upper.get(at);
      const below = base.entries.get(at);
      if (above !== undefined && !(above.startsWith('d') && below?.startsWith('d'))) return true;
    }
    return false;
  };
  const merged = new Map([...base.entries].filter(([path]) => !upper.has(path) && !isHidden(path)));
  for (const [path, entry] of upper) if (entry !== 'whiteout') merged.set(path, entry);
  return merged;
};

const sorted = (entries: Map<string, string>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

describe('compareTrees', () => {
  it('makes overlays that show the target, whatever lies below', () => {
    fc.assert(
      fc.property(anyTree, anyTree, (base, target) => {
        expect(sorted(mount(base, target, compareTrees(base, target)))).toEqual(sorted(target.entries));
      }),
      { numRuns: 2000 },
    );
  });

  it('makes overlays that can be stacked', () => {
    fc.assert(
      fc.property(anyTree, anyTree, anyTree, (base, middle, target) => {
        const shown = mount(base, middle, compareTrees(base, middle));
        const stacked: Tree = { entries: shown, made: new Map() };
        expect(sorted(mount(stacked, target, compareTrees(middle, target)))).toEqual(sorted(target.entries));
      }),
    );
  });

  it('is empty for equal trees', () => {
    const one = tree({ a: directory, 'a/b': 'f 644 1 1.5 3' });
    expect(compareTrees(one, one)).toEqual({ changed: [], made: [], removed: [], changedBytes: 0 });
  });

  it.each<[string, Record<string, string>, Record<string, string>, Partial<TreeDifference>]>([
    [
      'a file of the same size and time but other content, with the directories on its way',
      { a: directory, 'a/f': 'f 644 1 1.5 3' },
      { a: directory, 'a/f': 'f 644 9 1.7 3' },
      { changed: ['a', 'a/f'], removed: [], changedBytes: 3 },
    ],
    ['permissions only', { f: 'f 644 1 1.5 3' }, { f: 'f 600 1 1.7 3' }, { changed: ['f'], changedBytes: 3 }],
    ['a directory that is gone, with one whiteout', { a: directory, 'a/f': 'f' }, {}, { changed: [], removed: ['a'] }],
    [
      'a directory replaced by a link, with no whiteout at all',
      { a: directory, 'a/f': 'f' },
      { a: 'l 1 b' },
      { changed: ['a'], removed: [] },
    ],
    [
      'a file replaced by a directory',
      { a: 'f' },
      { a: directory, 'a/f': 'f' },
      { changed: ['a', 'a/f'], removed: [] },
    ],
    [
      'what is gone below a directory that stays',
      { a: directory, 'a/b': directory, 'a/b/c': 'f', 'a/k': 'f' },
      { a: directory, 'a/k': 'f' },
      { changed: ['a'], removed: ['a/b'] },
    ],
  ])('finds %s', (_, base, target, expected) => {
    expect(compareTrees(tree(base), tree(target))).toMatchObject(expected);
  });

  it('tells what conversion has to make from what the image holds', () => {
    const entry = { path: 'home', mode: 0o755, content: { type: 'directory' } } as const;
    const target: Tree = { entries: new Map([['home', 'd 755 0']]), made: new Map([['home', entry]]) };
    const base = tree({ home: 'd 700 9', 'home/ada': directory });
    expect(compareTrees(base, target)).toMatchObject({ changed: [], made: [entry], removed: ['home/ada'] });
    expect(compareTrees(target, base)).toMatchObject({ changed: ['home', 'home/ada'], made: [], removed: [] });
  });
});
