/** Signals by which a script can be told to save, and their numbers on Linux. */
export const saveSignals = { HUP: 1, INT: 2, USR1: 10, USR2: 12, TERM: 15 } as const;

export type SaveSignal = keyof typeof saveSignals;
