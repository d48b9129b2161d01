/**
 * What SLURM's words for why a job waits, or has ended, mean (squeue man page, JOB REASON CODES). The first that fits is taken: the
 * names of limits are many and made of a few parts.
 */
const meanings: [word: RegExp, meaning: string][] = [
  [/^Priority$/, 'jobs with a higher priority go first'],
  [/^Resources$/, 'it is next, and waits until enough is free'],
  [/^Dependency$/, 'it waits for another job'],
  [
    /^DependencyNeverSatisfied$/,
    'the job it waits for has ended otherwise than it must: it will never start; cancel it',
  ],
  [/^BeginTime$/, 'it may not start earlier, as asked for or after a requeue'],
  [/^JobHeldUser$/, 'you hold it: scontrol release'],
  [/^JobHeldAdmin$/, 'an administrator holds it; ask the site'],
  [
    /^launch failed requeued held$/i,
    'its node could not start it, and SLURM holds it: look at the node, then scontrol release',
  ],
  [/^job requeued in (?:special exit|held) state$/i, 'it was requeued and is held: scontrol release'],
  [/^JobHoldMaxRequeue$/, 'it was requeued too often and is held: scontrol release'],
  [/^PartitionTimeLimit$/, 'its --time is more than the partition allows: it will not start as it is'],
  [/^PartitionNodeLimit$/, 'it wants more nodes than the partition allows or has: it will not start as it is'],
  [/^PartitionDown$/, 'the partition is down'],
  [/^PartitionInactive$/, 'the partition takes no jobs at the moment'],
  [/^PartitionConfig$/, 'the partition does not fit what it asks for'],
  [/^(?:ReqNodeNotAvail|Nodes required for job are DOWN)/i, 'nodes it needs are down, reserved or in maintenance'],
  [/^Reservation$/, 'it waits for its reservation to begin'],
  [/^ReservationDeleted$/, 'its reservation was removed: it will not start as it is'],
  [/^BadConstraints$/, 'no node has what it asks for: it will not start as it is'],
  [/^Constraints$/, 'no node with what it asks for is free'],
  [/^NodeDown$/, 'a node it needs is down'],
  [/^Licenses$/, 'it waits for a licence'],
  [/^JobArrayTaskLimit$/, 'as many tasks as allowed at once are running'],
  [/^Prolog$/, 'its nodes are being prepared'],
  [/^Cleaning$/, 'it is being cleaned up before it starts anew'],
  [/^FrontEndDown$/, 'no front end is up'],
  [/^(?:SystemFailure|SchedDefer)$/, 'SLURM itself is in trouble'],
  [/^InvalidAccount$/, 'its account is not valid'],
  [/^InvalidQOS$/, 'its QOS is not valid'],
  [/^AccountNotAllowed$/, 'its account may not use the partition'],
  [/^QOSNotAllowed$/, 'its QOS may not be used with its account or partition'],
  [/^DeadLine$/, 'its deadline was over'],
  [/^TimeLimit$/, 'its time limit was over'],
  [/^InactiveLimit$/, 'it did nothing for too long'],
  [
    /Max\w*PerJob(?:Limit)?$|Max\w*PerNode(?:Limit)?$|Max(?:Nodes|Cpu|Wall)\w*Job/i,
    'it asks for more than one job may have: it will not start as it is',
  ],
  [/MaxWall|MaxWallDuration/, 'its --time is more than is allowed: it will not start as it is'],
  [/^(?:QOS|Assoc)Min/, 'it asks for less than a job must'],
  [
    /Max(?:Jobs|Submit|Node|Cpu|GRES|Memory|Billing)\w*(?:PerAccount|PA)/,
    'your account has reached its limit: it waits for other jobs of it to end',
  ],
  [
    /Max\w*(?:PerUser|PU|JobsLimit|JobsPerUser\w*)/,
    'you have reached your limit: it waits for other jobs of yours to end',
  ],
  [
    /^(?:Assoc|QOS)Grp\w*(?:Minutes|RunMinutes|Wall)/,
    'the computing time of your group is used up, or will be by jobs that run',
  ],
  [/^(?:Assoc|QOS)Grp/, 'your group uses as much as it may: it waits for other jobs of it to end'],
  [/^(?:Assoc|QOS)/, 'a limit of your account or QOS is reached'],
];

/** Says a reason of SLURM's in plain words; undefined for one that nothing is known of. */
export function explainReason(reason: string): string | undefined {
  return meanings.find(([word]) => word.test(reason))?.[1];
}

const unusualStates: Partial<Record<string, string>> = {
  CONFIGURING: 'its nodes are being prepared',
  COMPLETING: 'it is ending',
  NOT_SUBMITTED: 'its submission was broken off before there was a job',
  PREEMPTED: 'a job with more priority took its place',
  REQUEUED: 'it is about to wait again',
  REQUEUE_FED: 'it is about to wait again',
  REQUEUE_HOLD: 'it was requeued and is held: scontrol release',
  RESV_DEL_HOLD: 'its reservation was removed, and it is held',
  SIGNALING: 'it is being sent a signal',
  SPECIAL_EXIT: 'it was requeued and is held: scontrol release',
  STAGE_OUT: 'its files are being written back',
  STOPPED: 'it is stopped and keeps its nodes',
  SUSPENDED: 'it is suspended, and others use its nodes',
  UNKNOWN: 'SLURM does not know it any more',
};

/** Says a state in plain words where its name alone is not enough. */
export function explainState(state: string): string | undefined {
  return unusualStates[state];
}
