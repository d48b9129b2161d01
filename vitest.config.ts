import { defineConfig } from 'vitest/config';
import type { Reporter } from 'vitest/node';

/** No test is passed over in silence, and none is tried again in silence. */
const remarks: Reporter = {
  onTestCaseResult(test) {
    const result = test.result();
    if (result.state === 'skipped') console.log(`skipped: ${test.fullName}: ${result.note ?? 'without a reason'}`);
    if (test.diagnostic()?.flaky) console.log(`passed when tried again, which has to be looked into: ${test.fullName}`);
  },
};

export default defineConfig({
  test: {
    reporters: ['default', remarks],
    projects: [
      {
        test: {
          name: 'unit',
          setupFiles: ['test/support/random-seed.ts'],
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**'],
          // On two busy cores, whatever touches many files takes its time.
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'integration',
          setupFiles: ['test/support/random-seed.ts'],
          include: ['test/integration/**/*.test.ts'],
          globalSetup: ['test/integration/sandbox.setup.ts'],
          // One cluster, two cores: files run one after the other.
          fileParallelism: false,
          // A dozen daemons share two cores: one that is late once says nothing about hpcrun, and is printed.
          retry: 1,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
