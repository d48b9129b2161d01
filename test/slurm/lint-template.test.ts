import { describe, expect, it } from 'vitest';
import { lintTemplate } from '../../src/slurm/lint-template.js';
import { listTemplateNames, loadTemplate } from '../../src/slurm/templates.js';

const head = '#!/bin/bash\n#SBATCH --nodes=1\n';

describe('lintTemplate', () => {
  it("finds nothing in hpcrun's own", async () => {
    for (const name of await listTemplateNames()) {
      expect({ name, faults: lintTemplate((await loadTemplate(name)).text) }).toEqual({ name, faults: [] });
    }
  });

  it.each([
    [`${head}\n# note\n<% if (usesGpu) { -%>\n#SBATCH --exclusive\n<% } -%>\necho "it's" <%= runId %>\n`],
    [`${head}echo "<%- runId %>" <%- quoteAll(command) %> "a"<%= mount %>\n`],
    [`${head}# it's a comment <%= mount %>\necho \\" <%= mount %>\n`],
    [`${head}<%- include('partials/run.sh.ejs') -%>\n`],
  ])('finds nothing in %j', (text) => {
    expect(lintTemplate(text)).toEqual([]);
  });

  it.each([
    [`${head}echo\n#SBATCH --mem=1G\n`, 4, /first command/],
    [`${head}<% if (usesGpu) { -%>\n  #SBATCH --mem=1G\n<% } -%>\n`, 4, /beginning of its line/],
    [`${head}#SBATCH --output=$HOME/log\n`, 3, /variable/],
    [`${head}echo a\r\necho b\r\n`, 3, /CR LF/],
    [`${head}cd <%- mount %>\n`, 3, /<%= mount %> quotes it/],
    [`${head}cd <%- command.join(' ') %>\n`, 3, /as it is/],
    [`${head}cd "<%= mount %>/a"\n`, 3, /must not stand within "/],
    [`${head}cd 'a <%= mount %>'\n`, 3, /must not stand within '/],
    [`${head}<% if ( { -%>\n`, 1, /not valid for ejs/],
  ])('finds the fault of %j', (text, line, problem) => {
    const faults = lintTemplate(text);
    expect(faults).toHaveLength(1);
    expect(faults[0]?.line).toBe(line);
    expect(faults[0]?.problem).toMatch(problem);
  });
});
