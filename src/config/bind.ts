import { HpcrunError } from '../errors.js';

/** A directory or file of the cluster that the job sees. */
export interface Bind {
  /** On the cluster; may begin with `~` or hold `$NAME` until the cluster has expanded it. */
  source: string;
  /** Absolute path in the container. */
  target: string;
  readonly: boolean;
}

function checked(bind: Bind, text: string): Bind {
  const fail = (problem: string, hint: string) => new HpcrunError('USAGE', `bind "${text}": ${problem}`, { hint });
  if (!/^[/~$]/.test(bind.source)) {
    throw fail(
      `the source "${bind.source}" must be an absolute path on the cluster`,
      "Begin it with / or ~ or a variable of the cluster in single quotes, such as '$HOME/data:/data'. The project itself is already in the container.",
    );
  }
  if (!bind.target.startsWith('/')) {
    throw fail(`the target "${bind.target}" must be an absolute path in the container`, 'For example -v ~/data:/data');
  }
  // `apptainer exec --bind` splits at commas and colons and has no way to escape them.
  for (const path of [bind.source, bind.target]) {
    if (/[,:\n]/.test(path))
      throw fail(
        `"${path}" holds a comma, colon or newline, which Apptainer cannot bind`,
        'Rename it or bind its parent directory.',
      );
  }
  return bind;
}

/** Docker's `-v SOURCE:TARGET[:ro|:rw]`. Throws USAGE. */
export function parseVolume(text: string): Bind {
  const [source, target, mode, ...rest] = text.split(':');
  if (!source || !target || rest.length > 0 || (mode !== undefined && mode !== 'ro' && mode !== 'rw')) {
    throw new HpcrunError('USAGE', `bind "${text}" is not SOURCE:TARGET[:ro]`, {
      hint: "For example '$HOME/datasets:/data:ro'",
    });
  }
  return checked({ source, target, readonly: mode === 'ro' }, text);
}

/** Docker's `--mount type=bind,source=S,target=T[,readonly]`. Throws USAGE. */
export function parseMount(text: string): Bind {
  const fields = new Map<string, string>();
  for (const part of text.split(',')) {
    const [key = '', ...value] = part.split('=');
    fields.set(key.trim(), value.join('='));
  }
  const take = (...names: string[]) => {
    for (const name of names) {
      const value = fields.get(name);
      fields.delete(name);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const type = take('type');
  const source = take('source', 'src');
  const target = take('target', 'destination', 'dst');
  const readonlyValue = take('readonly', 'ro');
  const [unknown] = fields.keys();
  if (unknown !== undefined) {
    throw new HpcrunError('USAGE', `--mount "${text}": unknown key "${unknown}"`, {
      hint: '--mount type=bind,source=PATH,target=PATH[,readonly]',
    });
  }
  if (type !== 'bind' || !source || !target) {
    throw new HpcrunError('USAGE', `--mount "${text}" needs type=bind, a source and a target`, {
      hint: '--mount type=bind,source=PATH,target=PATH[,readonly]',
    });
  }
  const readonly = readonlyValue !== undefined && readonlyValue !== 'false' && readonlyValue !== '0';
  return checked({ source, target, readonly }, text);
}
