import { readVariables } from '../run/plan.js';
import { findRun } from '../run/find-run.js';
import { rerunRun } from '../run/rerun.js';
import { makeContext, withSession } from './context.js';
import { parseRunRequest, type RunOptions } from './run-options.js';
import { attend, printSubmitted } from './submit.js';

export interface RerunOptions extends RunOptions {
  failed?: boolean;
  wait?: boolean;
}

/** `hpcrun rerun`. */
export async function rerunCommand(wanted: string, options: RerunOptions): Promise<number> {
  const context = makeContext(options);
  const { name, resources, env } = parseRunRequest([], true, options, context.cwd);
  const variables = readVariables(env, context.env, '--env');
  return await withSession(context, options, async (session, project) => {
    const record = await findRun(session, wanted, project?.directory);
    const request = { onlyFailed: options.failed === true, name, resources, variables };
    const submitted = await rerunRun(session, record, request, project);
    printSubmitted(context, submitted, options);
    return options.wait === true ? await attend(session, context, submitted, options) : 0;
  });
}
