import { describe, expect, it } from 'vitest';
import { RemoteLayout } from '../../src/cluster/layout.js';

describe('RemoteLayout', () => {
  it('puts everything below the root, and everything of a run below its directory', () => {
    const layout = new RemoteLayout('/scratch/ada/hpcrun');
    const run = layout.run('id');
    expect(layout.image('5e')).toBe('/scratch/ada/hpcrun/images/5e.sif');
    expect(layout.snapshot('c0')).toBe('/scratch/ada/hpcrun/code/c0');
    expect(run.directory).toBe('/scratch/ada/hpcrun/runs/id');
    const paths = [run.work, run.log, run.state, run.sentinel, run.baseline];
    expect(new Set(paths).size).toBe(paths.length);
    for (const path of paths) expect(path).toMatch(/^\/scratch\/ada\/hpcrun\/runs\/id\/[a-z]/);
  });

  it('gives every task of an array a work copy and a state of its own', () => {
    const task = new RemoteLayout('/scratch/ada/hpcrun').run('id.3');
    expect(task.work).toBe('/scratch/ada/hpcrun/runs/id/tasks/3/work');
    expect(task.baseline).toBe('/scratch/ada/hpcrun/runs/id/tasks/3/state/baseline');
    expect(task.sentinel).toBe('/scratch/ada/hpcrun/runs/id/tasks/3/state/exit');
  });
});
