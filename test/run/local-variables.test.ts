import { describe, expect, it } from 'vitest';
import { placeVariables, renderJobVariables } from '../../src/run/local-variables.js';

const place = (users: Record<string, string>, callers: Record<string, string> = {}) =>
  placeVariables(users, { LANG: 'C.UTF-8' }, { callers, filePath: '/scratch/env', removed: [] });

describe('placeVariables', () => {
  it('passes variables by name, whatever their value', () => {
    const users = { TOKEN: 'a\nb', EMPTY: '', WANDB_MODE: 'offline' };
    expect(place(users)).toEqual({
      inherited: users,
      file: undefined,
      onCommandLine: { LANG: 'C.UTF-8' },
      removed: [],
    });
  });

  it.each(['PATH', 'HOME', 'DOCKER_HOST', 'CONTAINERS_CONF', 'https_proxy', 'LD_PRELOAD', 'SSH_AUTH_SOCK', 'TMPDIR'])(
    'keeps %s from the client',
    (name) => {
      const { inherited, file } = place({ [name]: 'x=y' }, { [name]: 'other' });
      expect(inherited).toEqual({});
      expect(file).toEqual({ path: '/scratch/env', text: `${name}=x=y\n` });
    },
  );

  it('passes what the client has by name, such as a secret that is called like its own', () => {
    const secret = { DOCKER_AUTH_CONFIG: '{\n}' };
    expect(place(secret, secret).inherited).toEqual(secret);
  });

  it('puts into the arguments only what neither way can carry', () => {
    expect(place({ PATH: 'a\nb' }).onCommandLine).toEqual({ PATH: 'a\nb', LANG: 'C.UTF-8' });
  });

  it("lets the user's variables go before the job's", () => {
    expect(place({ LANG: 'de_DE' })).toMatchObject({ inherited: { LANG: 'de_DE' }, onCommandLine: {} });
  });
});

describe('renderJobVariables', () => {
  const job = { runId: '20261122-081530-k3f9', name: 'train', mount: '/workspace', resources: {} };

  it('says no more than SLURM would', () => {
    const variables = renderJobVariables(job, true);
    expect(variables).toMatchObject({
      HPCRUN_RUN_ID: job.runId,
      HPCRUN_RESULTS: '/workspace',
      SLURM_JOB_NAME: 'train',
    });
    expect(Object.keys(variables).join(' ')).not.toMatch(/PER_TASK|MEM|GPU|CUDA|PARTITION|ACCOUNT/);
  });

  it('tells of resources that are asked for', () => {
    const resources = { cpus: 4, memory: '2G', gpus: { count: 2 }, partition: 'p', account: 'a' };
    expect(renderJobVariables({ ...job, resources }, true)).toMatchObject({
      SLURM_CPUS_PER_TASK: '4',
      SLURM_MEM_PER_NODE: '2048',
      SLURM_GPUS_ON_NODE: '2',
      CUDA_VISIBLE_DEVICES: '0,1',
      SLURM_JOB_PARTITION: 'p',
      SLURM_JOB_ACCOUNT: 'a',
    });
    expect(renderJobVariables({ ...job, resources }, false)).not.toHaveProperty('CUDA_VISIBLE_DEVICES');
  });
});
