import { describe, expect, it } from 'vitest';
import { renderDirectives, type ResourceRequest } from '../../src/slurm/directives.js';
import { applyRules, judgeRequest } from '../../src/slurm/rules.js';
import { judgeTasks, processesPerNode, resourcesOfTemplate } from '../../src/slurm/tasks.js';

const linesOf = (resources: ResourceRequest, rules = {}) =>
  renderDirectives({ name: 'n', comment: 'c', logPath: '/l', workingDirectory: '/w', resources }, rules).slice(5);

describe('nodes and tasks', () => {
  it.each<[ResourceRequest, string[]]>([
    [{}, ['--nodes=1', '--ntasks=1']],
    [{ nodes: 2 }, ['--nodes=2', '--ntasks=2']],
    [{ tasks: 64 }, ['--ntasks=64']],
    [{ nodes: 2, tasks: 6 }, ['--nodes=2', '--ntasks=6']],
    [{ tasksPerNode: 4 }, ['--nodes=1', '--ntasks=4', '--ntasks-per-node=4']],
    [{ nodes: 3, tasksPerNode: 4, cpus: 2 }, ['--nodes=3', '--ntasks=12', '--ntasks-per-node=4', '--cpus-per-task=2']],
  ])('%j', (resources, expected) => {
    expect(linesOf(resources)).toEqual(expected);
  });

  it('are one task a node for torchrun', () => {
    const asked: ResourceRequest = { nodes: 2, tasksPerNode: 4, gpus: { count: 2 } };
    expect(linesOf(resourcesOfTemplate('torchrun', asked))).toEqual([
      ...['--nodes=2', '--ntasks=2', '--ntasks-per-node=1', '--gres=gpu:2'],
    ]);
    expect(processesPerNode(asked)).toBe(4);
    expect(processesPerNode({ gpus: { count: 2 } })).toBe(2);
    expect(processesPerNode({ gpus: { count: 0 } })).toBe(1);
    expect(processesPerNode({})).toBe(1);
  });

  it('share what is asked for a node', () => {
    const rules = { gpus: { cpusPerGpu: 24 }, memoryOption: 'mem-per-cpu' as const };
    expect(applyRules({ gpus: { count: 2 }, tasksPerNode: 4 }, rules).cpus).toBe(12);
    expect(linesOf({ memory: '32G', cpus: 2, tasksPerNode: 4 }, rules)).toContain('--mem-per-cpu=4096M');
    expect(linesOf({ gpus: { count: 2 }, nodes: 2 }, { gpus: { option: 'gpus' } })).toContain('--gpus-per-node=2');
    expect(linesOf({ gpus: { count: 2 } }, { gpus: { option: 'gpus' } })).toContain('--gpus=2');
  });

  it.each([
    ['single', {}, 0],
    ['single', { nodes: 1 }, 0],
    ['single', { nodes: 2 }, 1],
    ['array', { tasksPerNode: 2 }, 1],
    ['mpi', { tasks: 64 }, 0],
    ['torchrun', { nodes: 2, tasksPerNode: 2 }, 0],
    ['torchrun', { tasks: 2 }, 1],
  ])('are judged by the template %s: %j', (template, tasks, problems) => {
    expect(judgeTasks(template, tasks)).toHaveLength(problems);
  });
});

describe('memory', () => {
  it('may be asked for a core or a GPU', () => {
    expect(linesOf({ memoryPerCpu: '4G' })).toContain('--mem-per-cpu=4G');
    expect(linesOf({ memoryPerGpu: '40G' })).toContain('--mem-per-gpu=40G');
    expect(judgeRequest({ memoryPerCpu: '4G' }, { required: ['memory'] }).problems).toEqual([]);
    expect(judgeRequest({}, { required: ['memory'] }).problems).toHaveLength(1);
  });
});
