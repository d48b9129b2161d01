import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { proxyVariables, requireAllowed, requireOnNodes, resourcesOn } from '../../src/run/site-request.js';
import { renderRehearsal } from '../../src/run/submission.js';
import { failureOf } from '../support/failure.js';
import { runShell } from '../support/shell.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';
import { writeTree } from '../support/write-tree.js';

describe('a request on a cluster', () => {
  it('is completed by what the cluster says', () => {
    const cluster = { resources: { account: 'rwth1234', partition: 'c23ms' } };
    expect(resourcesOn(cluster, { partition: 'c23g', cpus: 2 })).toEqual({
      account: 'rwth1234',
      partition: 'c23g',
      cpus: 2,
    });
  });

  it('is refused with everything that is missing, and told what is left out', async () => {
    const told: string[] = [];
    const slurm = { required: ['time' as const, 'account' as const], forbidden: ['mem'] };
    const error = await failureOf(() => {
      requireAllowed({ name: 'tacc', slurm }, { memory: '4G' }, (text) => told.push(text));
    });
    expect(error.code).toBe('USAGE');
    expect(error.message).toBe('tacc: a job needs --time\ntacc: a job needs --account here');
    expect(told).toEqual(['tacc: A job cannot ask for memory there; it gets what comes with its nodes or cores.']);
  });

  it('binds nothing that the compute nodes do not have', async () => {
    const cluster = { name: 'c', notOnComputeNodes: ['/arch'] };
    const bind = (source: string) => ({ source, target: '/data', readonly: true });
    const facts = { home: '/home/ada', architecture: 'amd64', variables: {} };
    requireOnNodes(cluster, [bind('/archive/x'), bind('/scratch/arch')], facts);
    const error = await failureOf(() => {
      requireOnNodes(cluster, [bind('/arch/ada'), bind('/scratch')], facts);
    });
    expect([error.code, error.message]).toEqual([
      'BIND_SOURCE_MISSING',
      'the compute nodes of c do not have /arch/ada',
    ]);
  });

  it('knows such directories by ~ and variables, too', async () => {
    const cluster = { name: 'c', notOnComputeNodes: ['~', '$ARCHIVE/old', '$UNSET'] };
    const facts = { home: '/home/ada', architecture: 'amd64', variables: { ARCHIVE: '/arch', UNSET: '' } };
    const refused = (source: string) =>
      failureOf(() => {
        requireOnNodes(cluster, [{ source, target: '/data', readonly: true }], facts);
      });
    expect((await refused('/home/ada/x')).code).toBe('BIND_SOURCE_MISSING');
    expect((await refused('/arch/old')).hint).toContain('below /home/ada, /arch/old is');
    requireOnNodes(cluster, [{ source: '/arch/new', target: '/data', readonly: true }], facts);
  });

  it('is refused where --resume cannot have its signal', async () => {
    const slurm = { forbidden: ['signal'] };
    const error = await failureOf(() => {
      requireAllowed({ name: 'c', slurm }, {}, () => undefined, {
        resume: { beforeSeconds: 120, signal: 'TERM', maxRestarts: 50 },
      });
    });
    expect(error.message).toBe('c: --resume needs --signal, which is refused there');
  });

  it('gives jobs the proxy in both spellings', () => {
    expect(proxyVariables({ proxy: { http: 'http://p:80' } })).toEqual({
      ...{ http_proxy: 'http://p:80', HTTP_PROXY: 'http://p:80' },
      ...{ https_proxy: 'http://p:80', HTTPS_PROXY: 'http://p:80' },
    });
    expect(proxyVariables({})).toEqual({});
  });
});

describe('the rehearsal before an upload', () => {
  const job =
    '#!/bin/bash\n#SBATCH --job-name="two words"\n#SBATCH --time=0-01:00:00\n\nmodule load x\n#SBATCH --late=1\n';

  /** Runs it with an sbatch that answers as SLURM does, and shows what that was given. */
  async function rehearse(answer: string, status: number) {
    const directory = await makeTemporaryDirectory();
    const sbatch = `#!/bin/sh\n{ echo "$@"; cat; } >${directory}/given\necho '${answer}' >&2\nexit ${status}\n`;
    await writeTree(directory, { sbatch });
    await chmod(join(directory, 'sbatch'), 0o755);
    const env = { PATH: `${directory}:/usr/bin:/bin` };
    const { stderr, status: ended } = runShell('/bin/sh', `${renderRehearsal(job)}\necho on >&2`, { env });
    return { stderr, ended, given: await readFile(join(directory, 'given'), 'utf8') };
  }

  it('goes on where sbatch would take the job, having given it the directives and nothing else', async () => {
    expect(await rehearse('sbatch: Job 7 to start at 2026-11-25T10:00:00', 0)).toEqual({
      stderr: 'on\n',
      ended: 0,
      given: '--test-only\n#!/bin/sh\n#SBATCH --job-name="two words"\n#SBATCH --time=0-01:00:00\n:\n',
    });
  });

  it('ends where it would not, with its words', async () => {
    const answer = 'allocation failure: Requested node configuration is not available';
    expect(await rehearse(answer, 1)).toMatchObject({ stderr: `${answer}\n`, ended: 93 });
  });

  it.each(['Socket timed out on send/recv operation', 'allocation failure: Requested nodes are busy'])(
    'goes on where it is the moment that is wrong: %s',
    async (answer) => {
      expect(await rehearse(answer, 1)).toMatchObject({ stderr: 'on\n', ended: 0 });
    },
  );
});
