import type { ClusterFacts } from '../../cluster/probe.js';
import type { Survey } from '../../cluster/survey.js';
import { expandRemotePath } from '../../cluster/probe.js';
import type { Bind } from '../../config/bind.js';
import type { ResolvedCluster } from '../../config/cluster.js';
import type { Resources } from '../../config/resources.js';
import { renderDirectives } from '../../slurm/directives.js';
import type { Connection } from '../../ssh/connection.js';
import { quote } from '../../ssh/quote.js';
import { runRemote } from '../../ssh/remote-script.js';
import { printable } from '../../ssh/terminal-text.js';
import { requireOnNodes } from '../site-request.js';
import { problemOf, type Finding } from './finding.js';
import { mendRefusal } from './judge-wishes.js';

const mark = 'hpcrun-rehearsal';

export interface Rehearsal {
  cluster: ResolvedCluster;
  facts: ClusterFacts;
  wishes: Resources;
  binds: Bind[];
  slurm: Survey['slurm'];
}

/** Asks sbatch whether it would take a job that asks for this (sbatch man page, --test-only), and looks for the sources of binds. */
export async function rehearse(connection: Connection, rehearsal: Rehearsal, signal: AbortSignal): Promise<Finding[]> {
  const { cluster, facts } = rehearsal;
  const findings: Finding[] = [];
  const sources = rehearsal.binds.flatMap((bind) => {
    try {
      const source = expandRemotePath(bind.source, facts, cluster.name);
      requireOnNodes(cluster, [{ ...bind, source }], facts);
      return [source];
    } catch (error) {
      findings.push(problemOf('project', 'bind', error));
      return [];
    }
  });
  const { stdout } = await runRemote(connection, 'asking sbatch', renderRehearsalScript(rehearsal, sources), {
    signal,
  });
  return [...judgeRehearsal(printable(stdout.toString('utf8')), sources, rehearsal), ...findings];
}

function renderRehearsalScript({ cluster, wishes }: Rehearsal, sources: string[]): string {
  const head = {
    name: 'hpcrun-doctor',
    comment: 'hpcrun',
    logPath: '/dev/null',
    workingDirectory: '/',
    resources: wishes,
  };
  const directives = renderDirectives(head, cluster.slurm ?? {}).map((directive) => `#SBATCH ${directive}`);
  const script = ['#!/bin/sh', ...directives, ':', ''].join('\n');
  return `if find_slurm; then
  for name in $(env | sed -n 's/^\\(S\\(LURM\\|BATCH\\|QUEUE\\)_[A-Za-z0-9_]*\\)=.*/\\1/p'); do
    [ "$name" = SLURM_CONF ] || unset "$name"
  done
  printf %s ${quote(script)} | sbatch --test-only 2>&1
  echo "${mark} status $?"
fi
${sources.map((source) => `[ -e ${quote(source)} ] || printf '${mark} absent %s\\n' ${quote(source)}`).join('\n')}
:
`;
}

/** Exported for tests. */
export function judgeRehearsal(
  output: string,
  sources: string[],
  { cluster, slurm }: Pick<Rehearsal, 'slurm'> & { cluster: Pick<ResolvedCluster, 'name'> },
): Finding[] {
  const section = 'project';
  const lines = output.split('\n').filter((line) => line !== '');
  const status = lines.find((line) => line.startsWith(`${mark} status `))?.split(' ')[2];
  const said = lines.filter((line) => !line.startsWith(mark)).map((line) => line.replace(/^sbatch: (?:error: )?/, ''));
  const absent = lines.flatMap((line) =>
    line.startsWith(`${mark} absent `) ? [line.slice(`${mark} absent `.length)] : [],
  );
  const findings: Finding[] = [];
  if (status === '0') {
    const start = /to start at (\S+) using .* on (?:nodes )?(\S+) in partition (\S+)/.exec(said.join(' '));
    const when = start
      ? `; now it would start at ${start[1]?.replace('T', ' ') ?? ''} on ${start[2] ?? ''} in ${start[3] ?? ''}`
      : '';
    findings.push({ section, name: 'sbatch', verdict: 'ok', message: `sbatch would take the job${when}` });
  } else if (status !== undefined) {
    findings.push({
      section,
      name: 'sbatch',
      verdict: 'problem',
      message: `sbatch would refuse the job: ${said.join(' ') || 'without a message'}`,
      remedy: mendRefusal(said.join(' '), slurm),
      code: 'SLURM_REFUSED',
    });
  }
  for (const source of absent) {
    findings.push({
      section,
      name: 'bind',
      verdict: 'problem',
      message: `the source of a bind is not on ${cluster.name}: ${source}`,
      remedy: 'Create it there, or correct the path under binds: in hpcrun.yaml.',
      code: 'BIND_SOURCE_MISSING',
    });
  }
  const present = sources.filter((source) => !absent.includes(source));
  if (present.length > 0) {
    findings.push({ section, name: 'bind', verdict: 'ok', message: `binds have their sources: ${present.join(', ')}` });
  }
  return findings;
}
