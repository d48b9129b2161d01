import { describe, expect, it } from 'vitest';
import { RemoteLayout } from '../../src/cluster/layout.js';

describe('RemoteLayout', () => {
  it('puts everything below the root, and everything of a run below its directory', () => {
    const layout = new RemoteLayout('/work/ada/hpcrun');
    const run = layout.run('id');
    expect(layout.image('5e')).toBe('/work/ada/hpcrun/images/5e.sif');
    expect(layout.snapshot('c0')).toBe('/work/ada/hpcrun/code/c0');
    expect(run.directory).toBe('/work/ada/hpcrun/runs/id');
    const paths = [run.work, run.log, run.state, run.sentinel, run.baseline];
    expect(new Set(paths).size).toBe(paths.length);
    for (const path of paths) expect(path).toMatch(/^\/work\/ada\/hpcrun\/runs\/id\/[a-z]/);
  });
});
