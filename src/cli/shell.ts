import { requireProject } from '../config/project.js';
import { ControlledInput } from '../run/inside/controlled-input.js';
import { anyShell, runShell } from '../run/inside/shell.js';
import { planRun } from '../run/plan.js';
import { requireAllowed, resourcesOn } from '../run/site-request.js';
import { makeContext, withSession } from './context.js';
import { localTerminal, type LocalTerminal } from './local-terminal.js';
import { writeAll } from './output.js';
import { parseRunRequest, type RunOptions } from './run-options.js';

/** `hpcrun shell`. */
export async function shellCommand(words: string[], options: RunOptions): Promise<number> {
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  // As in `docker run -it IMAGE bash`, there is no ENTRYPOINT before a command.
  const command = words.length > 0 ? words : anyShell;
  let onInterrupt: (() => void) | undefined;
  // Once the command runs, Ctrl-C is its own.
  process.on('SIGINT', () => {
    if (onInterrupt) onInterrupt();
    else process.kill(process.pid, 'SIGTERM');
  });
  const context = makeContext(options, ['SIGTERM', 'SIGHUP']);
  const { terminal } = context;
  const project = await requireProject(context.cwd);
  const request = parseRunRequest(command, true, { name: 'shell', ...options, template: 'shell' }, context.cwd);
  const asked = await planRun(project, request, context.cwd, context.env);
  return await withSession(context, options, async (session) => {
    const plan = { ...asked, resources: resourcesOn(session.cluster, asked.resources) };
    requireAllowed(session.cluster, plan.resources, (text) => {
      session.progress.warn(text);
    });
    const outputs = { onStdout: writeAll(process.stdout), onStderr: writeAll(process.stderr) };
    let local: LocalTerminal | undefined;
    const restore = () => {
      if (local) local.restore();
      else process.stdin.destroy();
      local = undefined;
    };
    try {
      const { record, exitCode } = await runShell(session, plan, command, {
        onChange: ({ state, reason }) => {
          if (state === 'PENDING') terminal.note(`Waiting in the queue${reason === undefined ? '' : ` (${reason})`}.`);
        },
        attend: () => {
          if (isTerminal) {
            local = localTerminal(process.stdin, process.stdout, context.env);
            return { ...outputs, ...local };
          }
          const stdin = new ControlledInput(process.stdin);
          onInterrupt = () => {
            stdin.signal('INT');
          };
          return { ...outputs, stdin };
        },
      });
      restore();
      terminal.note(`What it has written: hpcrun pull-results ${record.runId}`);
      return exitCode;
    } finally {
      restore();
    }
  });
}
