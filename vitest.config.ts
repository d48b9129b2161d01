import { defineConfig } from 'vitest/config';
import type { Reporter } from 'vitest/node';

/** No test is passed over in silence. */
const skipReasons: Reporter = {
  onTestCaseResult(test) {
    const result = test.result();
    if (result.state === 'skipped') console.log(`skipped: ${test.fullName}: ${result.note ?? 'without a reason'}`);
  },
};

export default defineConfig({
  test: {
    reporters: ['default', skipReasons],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/integration/**'],
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: ['test/integration/sandbox.setup.ts'],
          // One cluster, two cores: files run one after the other.
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
