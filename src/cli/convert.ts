import { join, resolve } from 'node:path';
import { loadProject } from '../config/project.js';
import { HpcrunError } from '../errors.js';
import { resolveEngine } from '../image/cli-engine.js';
import { obtainSif } from '../image/obtain-sif.js';
import { renderParityReport, reportParity, standingDifferences } from '../image/parity.js';
import { partBytes, SifCache, type Recipe } from '../image/sif-cache.js';
import { compressions } from '../image/squash.js';
import { formatBytes, withStep } from '../progress.js';
import { findOrPull } from '../run/obtain-image.js';
import { requireFreeOutput, writeSifFile } from '../run/convert-to-file.js';
import { loadImageSettings, makeContext, type CommonOptions } from './context.js';
import { printJson, printLine } from './output.js';

export interface ConvertOptions extends CommonOptions {
  compression?: string;
  permissions?: string;
  platform?: string;
  cache?: boolean;
  force?: boolean;
  report?: boolean;
}

/** `hpcrun convert`. */
export async function convertCommand(name: string, output: string | undefined, options: ConvertOptions): Promise<number> {
  const context = makeContext(options);
  const { signal, terminal, directories } = context;
  if (output === undefined && options.report !== true) {
    throw new HpcrunError('USAGE', 'say where the SIF is to go', { hint: `hpcrun convert ${name} out.sif` });
  }
  const recipe = parseRecipe(options);
  const outputPath = output === undefined ? undefined : resolve(context.cwd, output);
  if (outputPath !== undefined) await requireFreeOutput(outputPath, options.force === true);
  const settings = await loadImageSettings(context, options, await loadProject(context.cwd));
  const engine = await resolveEngine(settings.engine, signal);
  const { info } = await findOrPull({ progress: terminal, signal }, engine, name, options.platform);
  const { image, how } = await obtainSif({
    engine,
    info,
    name,
    recipe,
    overlays: true,
    noCache: options.cache === false,
    cache: new SifCache(join(directories.cache, 'sif')),
    cacheBytes: settings.cacheBytes,
    progress: terminal,
    signal,
  });
  const findings = reportParity({ info, survey: image.survey, permissions: recipe.permissions });
  const written =
    outputPath === undefined
      ? undefined
      : await withStep(
          terminal,
          `Writing ${outputPath}`,
          () => writeSifFile(image, info, outputPath, signal),
          ({ sizeBytes }) => `Wrote ${outputPath} (${formatBytes(sizeBytes)})`,
        );
  if (options.json) {
    printJson({
      type: 'converted',
      image: info.id,
      how,
      path: outputPath ?? null,
      sha256: written?.sha256 ?? null,
      sizeBytes: written?.sizeBytes ?? partBytes([image]),
      ...(options.report === true ? { findings: [...findings, ...standingDifferences] } : {}),
    });
    return 0;
  }
  if (options.report === true) printLine(renderParityReport([...findings, ...standingDifferences]));
  else if (findings.length > 0)
    terminal.note(`${findings.length} things differ from docker run: hpcrun convert --report ${name}`);
  return 0;
}

function parseRecipe({ compression = 'gzip', permissions = 'open' }: ConvertOptions): Recipe {
  const known = compressions.find((each) => each === compression);
  if (known === undefined)
    throw new HpcrunError('USAGE', `there is no compression "${compression}"`, { hint: compressions.join(' or ') });
  if (permissions !== 'open' && permissions !== 'keep')
    throw new HpcrunError('USAGE', `--permissions "${permissions}" is neither open nor keep`, {
      hint: '--permissions keep leaves all modes as they are.',
    });
  return { compression: known, permissions };
}
