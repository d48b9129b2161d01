import type { Partition, Survey } from '../../cluster/survey.js';
import type { Site } from '../../config/site.js';
import { rulesIn, type SlurmRules } from '../../slurm/rules.js';
import { isAllowed } from '../doctor/judge-wishes.js';

/** What the first hpcrun.yaml of a project asks for. */
export interface Guess {
  partition: Partition | undefined;
  /** Other partitions one could ask for. */
  others: string[];
  account: string | undefined;
  otherAccounts: string[];
  /** As in `--gpus`; undefined for none. */
  gpus: string | undefined;
  /** Types of GPUs in the partition. */
  gpuTypes: string[];
}

export interface GuessInputs {
  survey: Survey | undefined;
  site: Site | undefined;
  wantsGpus: boolean;
  /** Undefined for the first. */
  account?: string | undefined;
}

const word = /^[\w.+@-]+$/;

// Short queues for trying things; a training should not land there unasked.
const special = /devel|debug|test|short|interactive|inter$|preempt|visual|login|maint/i;

/** Chooses partition, account and GPUs from what the cluster has. */
export function guessResources({ survey, site, wantsGpus, account }: GuessInputs): Guess {
  const slurm = survey?.slurm;
  const accounts = [...new Set(slurm?.accounts.map(({ name }) => name) ?? [])].filter((name) => word.test(name));
  const chosen = account ?? accounts[0];
  const usable = (slurm?.partitions ?? []).filter(
    (partition) =>
      word.test(partition.name) &&
      partition.isUp &&
      partition.usableNodes > 0 &&
      (chosen === undefined || isAllowed(chosen, partition)),
  );
  const slurmRules = site?.cluster?.slurm ?? {};
  const partition = choosePartition(usable, wantsGpus, slurmRules);
  const { gpus: rules, account: accountRule } = rulesIn(slurmRules, partition?.name);
  const isForbidden = accountRule === 'forbidden';
  const gpuTypes = [
    ...new Set([
      ...(partition?.gpus ?? []).flatMap(({ type }) => (type === undefined ? [] : [type])),
      ...(rules.types ?? []),
    ]),
  ];
  const hasGpus = partition === undefined || partition.gpus.length > 0 || rules.option === 'none';
  return {
    partition,
    others: usable.filter(({ name }) => name !== partition?.name).map(({ name }) => name),
    account: isForbidden ? undefined : chosen,
    otherAccounts: accounts.filter((name) => name !== chosen),
    gpus:
      wantsGpus && hasGpus ? (rules.typeRequired && gpuTypes[0] !== undefined ? `${gpuTypes[0]}:1` : '1') : undefined,
    gpuTypes,
  };
}

function choosePartition(usable: Partition[], wantsGpus: boolean, rules: SlurmRules): Partition | undefined {
  // Where GPUs come with a partition that is named in the rules, SLURM may not count them.
  const comesWith = (name: string) =>
    rulesIn(rules, name).gpus.option === 'none' && rulesIn(rules, undefined).gpus.option !== 'none';
  const fits = ({ name, gpus }: Partition) => !wantsGpus || gpus.length > 0 || comesWith(name);
  return (
    usable.find((each) => each.isDefault && fits(each)) ??
    usable.find((each) => fits(each) && !special.test(each.name)) ??
    usable.find(fits) ??
    usable.find((each) => each.isDefault) ??
    usable[0]
  );
}
