import type { RunRecord } from '../../src/run/record.js';

/** A run as it is remembered, with whatever a test wants to be different. */
export function runRecord(changes: Partial<RunRecord> = {}): RunRecord {
  return {
    schemaVersion: 1,
    runId: '20261122-081530-k3f9',
    name: 'train',
    template: 'single',
    cluster: 'claix',
    createdAt: '2026-11-22T08:15:30.000Z',
    hpcrunVersion: '0.1.0',
    origin: { host: 'laptop', projectDirectory: '/home/ada/digits' },
    image: {
      id: 'sha256:1',
      tag: 'hpcrun/digits:12345678',
      sha256: '5e'.repeat(32),
      sizeBytes: 731_000_000,
      overlays: [],
      isNative: true,
      volumes: [],
    },
    code: { treeHash: 'c0'.repeat(32), files: 3, git: { commit: '1234567', isDirty: true } },
    command: ['python3', 'train.py', '--lr', '0.1 x'],
    containerDirectory: '/workspace',
    mount: '/workspace',
    binds: [{ source: '/scratch/ada/data', target: '/data', readonly: true }],
    variables: ['EPOCHS'],
    resources: { gpus: { type: 'h100', count: 1 }, memory: '32G', time: 3600 },
    resultsExclude: ['*.tmp'],
    root: '/scratch/ada/hpcrun',
    jobId: '41',
    ...changes,
  };
}
