import fc from 'fast-check';

/**
 * The same random values at each run, so that a change is judged by what it changed. HPCRUN_TEST_SEED=random, or a number, looks
 * at others.
 */
const wanted = process.env.HPCRUN_TEST_SEED ?? '20261125';
if (wanted !== 'random') fc.configureGlobal({ seed: Number(wanted) });
