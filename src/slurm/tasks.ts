import type { ResourceRequest } from './directives.js';
import type { SbatchOption } from './rules.js';

/** hpcrun's own templates whose jobs have several tasks. */
const parallelTemplates = ['torchrun', 'mpi'];

type Tasks = Pick<ResourceRequest, 'nodes' | 'tasks' | 'tasksPerNode'>;

/** How many nodes and tasks a job has, in the words of sbatch; one of each where nothing is said. */
export function taskOptions({ nodes, tasks, tasksPerNode }: Tasks): SbatchOption[] {
  const total = tasks ?? (nodes ?? 1) * (tasksPerNode ?? 1);
  // With a number of tasks alone, SLURM places them as it likes.
  const isFree = nodes === undefined && tasks !== undefined;
  return [
    ...(isFree ? [] : ([['nodes', String(nodes ?? 1)]] satisfies SbatchOption[])),
    ['ntasks', String(total)],
    ...(tasksPerNode === undefined ? [] : ([['ntasks-per-node', String(tasksPerNode)]] satisfies SbatchOption[])),
  ];
}

/** How many tasks share a node, as far as the request says. */
export function tasksOnNode({ nodes = 1, tasks, tasksPerNode }: Tasks): number {
  return tasksPerNode ?? Math.ceil((tasks ?? nodes) / nodes);
}

/** What SLURM is asked for a job of this template: torchrun starts the processes of a node itself, as one task. */
export function resourcesOfTemplate<T extends ResourceRequest>(template: string, resources: T): T {
  if (template !== 'torchrun') return resources;
  const nodes = resources.nodes ?? 1;
  return { ...resources, nodes, tasks: nodes, tasksPerNode: 1 };
}

/** How many processes torchrun starts on each node: as many as were asked for, or one for each GPU. */
export function processesPerNode({ tasksPerNode, gpus }: ResourceRequest): number {
  return tasksPerNode ?? Math.max(gpus?.count ?? 1, 1);
}

/** What is wrong with a wish for tasks with one of hpcrun's own templates, a sentence each. */
export function judgeTasks(template: string, { nodes, tasks, tasksPerNode }: Tasks): string[] {
  if (template === 'torchrun') {
    return tasks === undefined
      ? []
      : ['torchrun has one task on each node: --tasks-per-node N starts N processes there'];
  }
  const isParallel = [nodes, tasks, tasksPerNode].some((count) => (count ?? 1) > 1);
  return isParallel && !parallelTemplates.includes(template)
    ? [`a job of the template ${template} has one task; several need --template torchrun or --template mpi`]
    : [];
}
