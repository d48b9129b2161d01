import { quote } from '../ssh/quote.js';
import type { ImageInfo } from './engine.js';
import type { TarEntry } from './tar-header.js';

/**
 * `.singularity.d`: what Apptainer reads inside an image. Environment files are sourced in order by a shell that Apptainer
 * has built in. It appends its own directories to the PATH that a `10-docker2singularity.sh` sets, which is why the file
 * has another name.
 */
export function renderContainerMetadata(info: ImageInfo): TarEntry[] {
  const directory = (path: string): TarEntry => ({ path, mode: 0o755, content: { type: 'directory' } });
  const file = (path: string, mode: number, text: string): TarEntry => ({
    path,
    mode,
    content: { type: 'file', bytes: Buffer.from(text, 'utf8') },
  });
  const exports = splitEnvironment(info).shell.map(([name, value]) => `export ${name}=${quoteValue(value)}\n`);
  const entrypoint = info.entrypoint.map(quote).join(' ');
  const command = info.command.map(quote).join(' ');
  return [
    directory('.singularity.d'),
    directory('.singularity.d/actions'),
    directory('.singularity.d/env'),
    directory('.singularity.d/libs'),
    file('.singularity.d/env/10-image.sh', 0o755, `#!/bin/sh\n${exports.join('')}`),
    file('.singularity.d/env/90-environment.sh', 0o755, '#!/bin/sh\n'),
    file('.singularity.d/env/99-base.sh', 0o755, baseEnvironment),
    file(
      '.singularity.d/runscript',
      0o755,
      `#!/bin/sh\n# As in Docker: arguments replace CMD, ENTRYPOINT stays.\n[ "$#" -gt 0 ] || set -- ${command}\nexec ${entrypoint} "$@"\n`,
    ),
    file('.singularity.d/labels.json', 0o644, `${JSON.stringify(info.labels, Object.keys(info.labels).sort(), 2)}\n`),
  ];
}

/** What Apptainer's shell does not let be set (mvdan.cc/sh; its action script). */
const readonlyNames = new Set(['UID', 'EUID', 'GID', 'APPTAINER_NAME', 'APPTAINER_CONTAINER', 'APPTAINER_INSTANCE']);

/** Whether a job can have a variable of this name at all. */
export function isSettable(name: string): boolean {
  return !readonlyNames.has(name);
}

/** ENV by whether Apptainer can set it: `UID`, and names such as `my.var`, only Docker can. */
export function splitEnvironment({ environment }: Pick<ImageInfo, 'environment'>): {
  shell: [name: string, value: string][];
  dockerOnly: string[];
} {
  const shell: [string, string][] = [];
  const dockerOnly: string[] = [];
  for (const pair of environment) {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(pair);
    const [, name = '', value = ''] = match ?? [];
    if (match && !readonlyNames.has(name)) shell.push([name, value]);
    else dockerOnly.push(pair.replace(/=.*$/s, ''));
  }
  return { shell, dockerOnly };
}

/**
 * One word for Apptainer's shell as for any other. Behind `export`, that shell keeps the backslash of `\'`, and it makes
 * a line feed of CR LF, so that the one is never written and the other never together.
 */
function quoteValue(value: string): string {
  return `'${value.replaceAll("'", `'"'"'`).replaceAll('\r\n', "\r''\n")}'`;
}

// --nv and --rocm put the host's libraries here; without them, Docker's environment knows nothing of the directory.
const baseEnvironment = `#!/bin/sh
for __library in /.singularity.d/libs/*; do
  case ":\${LD_LIBRARY_PATH-}:$__library" in
    *'*' | *:/.singularity.d/libs:*) ;;
    *) export LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs" ;;
  esac
done
unset __library
`;
