import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listTemplateNames, loadTemplate } from '../../src/slurm/templates.js';
import { failureOf } from '../support/failure.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

describe('loadTemplate', () => {
  it('has every partial in its place', async () => {
    for (const name of await listTemplateNames()) {
      const { text } = await loadTemplate(name);
      expect(text).not.toContain('include(');
      expect(text).toContain('\nfinish() {\n');
    }
  });

  it("takes the project's own before hpcrun's", async () => {
    const project = await makeTemporaryDirectory();
    expect((await loadTemplate('single', project)).path).toBeUndefined();
    await mkdir(join(project, 'slurm-templates'));
    const path = join(project, 'slurm-templates', 'single.sbatch.ejs');
    await writeFile(path, '#!/bin/bash\n');
    expect(await loadTemplate('single', project)).toEqual({ name: 'single', text: '#!/bin/bash\n', path });
  });

  it.each(['singel', '../single', ''])('refuses %j', async (name) => {
    const error = await failureOf(() => loadTemplate(name, '/nonexistent'));
    expect(error.code).toBe('TEMPLATE_NOT_FOUND');
    expect(error.hint).toContain('single');
  });
});
