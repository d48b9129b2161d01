import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { errorOf, hpcrun, makePythonProject, onLogin, sandboxCluster } from './lab.js';

const store = '/home/course-store/images-of-all';
const users = ['researcher', 'student2'] as const;
const projects = new Map<string, string>();
let sha256 = '';

const as = (user: (typeof users)[number], ...args: string[]) => {
  const cwd = projects.get(user) ?? '';
  return hpcrun(args, { cwd, env: { XDG_STATE_HOME: join(cwd, 'state') } });
};

/** A second account with the same key, in a group with the first. Accounts of the compute nodes need not know it. */
beforeAll(async () => {
  await onLogin(
    `groupadd -f course; id student2 >/dev/null 2>&1 || useradd --create-home --shell /bin/bash student2; usermod --password '*' student2
for user in ${users.join(' ')}; do usermod -aG course $user; done
mkdir -p ~student2/.ssh /home/course-store; cp ~researcher/.ssh/authorized_keys ~student2/.ssh/
chown -R student2: ~student2; chmod 700 ~student2/.ssh; chgrp course /home/course-store; chmod 2770 /home/course-store`,
    'root',
  );
  const sandbox = await sandboxCluster();
  for (const user of users) {
    const project = await makePythonProject({ 'ok.py': 'print("ok")\n' });
    const shared = { ...sandbox, user, root: '~/course-root', store: { path: store, group: 'course' } };
    await writeFile(join(project, 'hpcrun.yaml'), JSON.stringify({ cluster: 'course', clusters: { course: shared } }));
    projects.set(user, project);
  }
});

describe('a store that a group shares', () => {
  it('takes an image from one member and has it for the other', async () => {
    const first = await as('researcher', 'push', '--json');
    expect(first.stderr).toBe('');
    sha256 = await onLogin(`ls ${store}/images | sed -n 's/[.]sif$//p'`);
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(await onLogin(`cd ${store} && stat -c '%a %G' images uses images/${sha256}.sif`)).toBe(
      '3770 course\n3770 course\n440 course',
    );
    expect((await as('student2', 'push', '--json')).exitCode).toBe(0);
    expect(await onLogin(`stat -c %U ${store}/images/*.sif`)).toBe('researcher');
  });

  it('lets nobody remove the image of another, by whatever means', async () => {
    const rmi = await as('student2', 'rmi', '--yes', '--force', '--json', sha256.slice(0, 10));
    expect(errorOf(rmi)).toMatchObject({
      code: 'IMAGE_IN_USE',
      message: expect.stringContaining('researcher') as string,
    });
    await expect(onLogin(`rm -f ${store}/images/${sha256}.sif`, 'student2')).rejects.toThrow(/not permitted/);
    await onLogin(`touch -d '90 days ago' ${store}/images/*`);
    expect((await as('student2', 'prune', '--all', '--yes', '--json')).exitCode).toBe(0);
    expect(await onLogin(`ls ${store}/images | grep -c '[.]sif$'`)).toBe('1');
  });

  it("keeps an image of one's own as long as a job of another uses it", async () => {
    // A job of the researcher's stands in for one of the student's: what counts is the mark.
    const job = await onLogin(`cd /tmp && sbatch --parsable -o /dev/null --wrap 'sleep 300'`);
    const mark = `${store}/uses/${sha256}.student2`;
    await onLogin(`echo ${job} >${mark}; chmod 640 ${mark}; touch -d '90 days ago' ${mark}`, 'student2');
    await onLogin(`touch -d '90 days ago' ${store}/images/*`);
    const pruneAll = () => as('researcher', 'prune', '--all', '--yes', '--json');
    expect((await pruneAll()).exitCode).toBe(0);
    expect(await onLogin(`ls ${store}/images | grep -c '[.]sif$'`)).toBe('1');
    const rmi = await as('researcher', 'rmi', '--yes', '--force', '--json', sha256.slice(0, 10));
    expect(errorOf(rmi)).toMatchObject({ code: 'IMAGE_IN_USE' });
    await onLogin(`scancel ${job}`);
    await expect.poll(() => onLogin(`squeue -h -j ${job} 2>/dev/null || true`), { timeout: 60_000 }).toBe('');
    expect((await pruneAll()).exitCode).toBe(0);
    expect(await onLogin(`ls ${store}/images`)).toBe('');
  });
});
