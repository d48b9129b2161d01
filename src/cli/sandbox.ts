import { HpcrunError } from '../errors.js';
import { bringUp, readStatus, takeDown, type SandboxStatus } from '../sandbox/sandbox.js';
import { parseQuirks } from '../sandbox/quirks.js';
import { makeContext, type CommonOptions, type Context } from './context.js';
import { printJson, printLine, renderTable } from './output.js';

export interface SandboxUpOptions extends CommonOptions {
  nodes?: string;
  accounting: boolean;
  quirk?: string[];
  installEngine?: boolean;
}

function sandboxContext({ directories, env, terminal, signal }: Context) {
  return { directories, env, progress: terminal, signal };
}

/** `hpcrun sandbox up`. */
export async function sandboxUpCommand(options: SandboxUpOptions): Promise<number> {
  const context = makeContext(options);
  const nodes = parseNodes(options.nodes);
  const status = await bringUp(sandboxContext(context), {
    ...(nodes === undefined ? {} : { nodes }),
    // commander says true where the option was not given: then any sandbox that is there will do.
    ...(options.accounting ? {} : { accounting: false }),
    ...(options.quirk ? { quirks: parseQuirks(options.quirk) } : {}),
    installEngine: options.installEngine === true,
  });
  printStatus(status, options);
  if (!options.json) {
    context.terminal.note('Use it with: hpcrun submit --cluster sandbox train.py');
    const { password, totpSecret } = status.secrets;
    if (password !== undefined) context.terminal.note(`The password it asks for is in ${password}`);
    if (totpSecret !== undefined) {
      context.terminal.note(`A code for its login, new every 30 s: oathtool --totp --base32 - <${totpSecret}`);
      context.terminal.note(
        `Without oathtool here: docker exec -i ${status.name}-login oathtool --totp --base32 - <${totpSecret}`,
      );
    }
  }
  return 0;
}

function parseNodes(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const nodes = Number(text);
  if (Number.isInteger(nodes) && nodes >= 1 && nodes <= 16) return nodes;
  throw new HpcrunError('USAGE', `--nodes "${text}" is not a number from 1 to 16`, {
    hint: 'hpcrun sandbox up --nodes 2',
  });
}

/** `hpcrun sandbox status`. */
export async function sandboxStatusCommand(options: { json?: boolean }): Promise<number> {
  const context = makeContext(options);
  const status = await readStatus(sandboxContext(context));
  printStatus(status, options);
  return 0;
}

/** `hpcrun sandbox down`. */
export async function sandboxDownCommand(options: { json?: boolean; keepImages?: boolean }): Promise<number> {
  const context = makeContext(options);
  await takeDown(sandboxContext(context), { keepImages: options.keepImages === true });
  printStatus(await readStatus(sandboxContext(context)), options);
  return 0;
}

function printStatus(status: SandboxStatus, options: { json?: boolean }): void {
  if (options.json) {
    printJson({ type: 'sandbox', ...status, login: status.login ?? null });
    return;
  }
  printLine(`${status.name}: ${status.state}${status.login === undefined ? '' : `, login ${status.login}`}`);
  if (status.quirks.length > 0) printLine(`quirks: ${status.quirks.join(', ')}`);
  if (status.nodes.length > 0) {
    printLine(
      renderTable(
        ['NODE', 'STATE'],
        status.nodes.map(({ name, state }) => [name, state]),
      ),
    );
  }
}
