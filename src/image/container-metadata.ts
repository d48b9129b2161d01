import { quote } from '../ssh/quote.js';
import type { ImageInfo } from './engine.js';
import type { TarEntry } from './tar-header.js';

/**
 * `.singularity.d`: what Apptainer reads inside an image. Environment files are sourced in order by a shell; each value
 * is single-quoted so that none of its characters means anything.
 */
export function renderContainerMetadata(info: ImageInfo): TarEntry[] {
  const directory = (path: string): TarEntry => ({ path, mode: 0o755, content: { type: 'directory' } });
  const file = (path: string, mode: number, text: string): TarEntry => ({
    path,
    mode,
    content: { type: 'file', bytes: Buffer.from(text, 'utf8') },
  });
  const exports = splitEnvironment(info).shell.map(([name, value]) => `export ${name}=${quote(value)}\n`);
  const entrypoint = info.entrypoint.map(quote).join(' ');
  const command = info.command.map(quote).join(' ');
  return [
    directory('.singularity.d'),
    directory('.singularity.d/actions'),
    directory('.singularity.d/env'),
    directory('.singularity.d/libs'),
    file('.singularity.d/env/10-docker2singularity.sh', 0o755, `#!/bin/sh\n${exports.join('')}`),
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

/** ENV by whether a shell, and so Apptainer, can set it: names such as `my.var` only Docker can. */
export function splitEnvironment({ environment }: Pick<ImageInfo, 'environment'>): {
  shell: [name: string, value: string][];
  dockerOnly: string[];
} {
  const shell: [string, string][] = [];
  const dockerOnly: string[] = [];
  for (const pair of environment) {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(pair);
    if (match) shell.push([match[1] ?? '', match[2] ?? '']);
    else dockerOnly.push(pair.replace(/=.*$/s, ''));
  }
  return { shell, dockerOnly };
}

// --nv and --rocm put the host's libraries here.
const baseEnvironment = `#!/bin/sh
LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs"
export LD_LIBRARY_PATH
`;
