import { join } from 'node:path';
import { loadProject } from '../config/project.js';
import { parseTime } from '../config/quantities.js';
import { HpcrunError } from '../errors.js';
import { resolveEngine } from '../image/resolve-engine.js';
import { examine } from '../run/doctor/doctor.js';
import { countVerdicts, exitStatusOf, type Finding, type Section } from '../run/doctor/finding.js';
import { loadImageSettings, makeContext, openSession, type CommonOptions } from './context.js';
import { renderFinding, renderHeading, renderSummary } from './doctor-output.js';
import { printJson } from './output.js';

const defaultPatience = '2m';

export interface DoctorOptions extends CommonOptions {
  job: boolean;
  patience?: string;
}

/** `hpcrun doctor`. */
export async function doctorCommand(options: DoctorOptions): Promise<number> {
  const patienceSeconds = parseTime(options.patience ?? defaultPatience);
  if (patienceSeconds === undefined) {
    throw new HpcrunError('USAGE', `--patience "${options.patience ?? ''}" is not a time`, { hint: '--patience 10m' });
  }
  const context = makeContext(options);
  const { cwd, env, directories, signal } = context;
  const hasColour = process.stdout.isTTY && env.NO_COLOR === undefined;
  let shown: Section | undefined;
  const report = (findings: Finding[]) => {
    for (const finding of findings) {
      if (options.json) {
        printJson({ type: 'finding', ...jsonFinding(finding) });
        continue;
      }
      if (finding.section !== shown)
        process.stdout.write(renderHeading(finding.section, shown === undefined, hasColour));
      shown = finding.section;
      process.stdout.write(renderFinding(finding, hasColour));
    }
  };
  const findings = await examine(
    {
      machine: {
        // What hpcrun.yaml says of the engine is not known before it has been read, and it may be that which is wrong.
        engine: async () => await resolveEngine((await loadImageSettings(context, options, undefined)).engine, signal),
        cacheDirectory: join(directories.cache, 'sif'),
        signal,
      },
      env,
      loadProject: () => loadProject(cwd),
      openSession: (project) => openSession(context, options, project),
      patienceSeconds: options.job ? patienceSeconds : undefined,
    },
    report,
  );
  if (options.json) printJson({ type: 'doctor', ...countVerdicts(findings) });
  else process.stdout.write(renderSummary(findings, hasColour));
  return exitStatusOf(findings);
}

function jsonFinding(finding: Finding) {
  const { section, name, verdict, message, details = [] } = finding;
  const remedy = 'remedy' in finding ? (finding.remedy ?? null) : null;
  return {
    section,
    name,
    verdict,
    message,
    details,
    remedy,
    code: finding.verdict === 'problem' ? finding.code : null,
  };
}
