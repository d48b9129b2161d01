import { join, resolve } from 'node:path';
import { loadProject } from '../config/project.js';
import { HpcrunError } from '../errors.js';
import type { ConvertedImage } from '../image/convert.js';
import type { ContainerEngine, ImageInfo } from '../image/engine.js';
import { resolveEngine } from '../image/resolve-engine.js';
import { obtainSif, type ObtainedSif } from '../image/obtain-sif.js';
import { renderParityReport, reportParity, standingDifferences } from '../image/parity.js';
import type { RootfsSurvey } from '../image/rootfs-survey.js';
import { SifCache, type Recipe } from '../image/sif-cache.js';
import { compressions } from '../image/squash.js';
import { formatBytes, withStep } from '../progress.js';
import { chunkIndexes } from '../run/chunk-indexes.js';
import { findOrPull, requireArchitecture } from '../run/obtain-image.js';
import { convertToFile, requireFreeOutput, writeSifFile } from '../run/convert-to-file.js';
import { loadImageSettings, makeContext, type CommonOptions, type Context } from './context.js';
import { printJson, printLine } from './output.js';

export interface ConvertOptions extends CommonOptions {
  compression?: string;
  permissions?: string;
  platform?: string;
  cache?: boolean;
  overlays?: boolean;
  force?: boolean;
  report?: boolean;
}

/** `hpcrun convert`. */
export async function convertCommand(
  name: string,
  output: string | undefined,
  options: ConvertOptions,
): Promise<number> {
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
  const info = await find(context, engine, name, options.platform);
  if (options.cache === false && outputPath !== undefined) {
    const converted = await withStep(
      terminal,
      `Converting ${name}`,
      () => convertToFile(engine, info, outputPath, { ...recipe, signal }),
      ({ sizeBytes }) => `Wrote ${outputPath} (${formatBytes(sizeBytes)})`,
    );
    print(
      { ...options, terminal },
      { info, recipe, survey: converted.survey, how: 'converted', outputPath, written: converted },
    );
    return 0;
  }
  const { image, how } = await obtainSif({
    engine,
    info,
    name,
    recipe,
    overlays: options.overlays !== false,
    noCache: options.cache === false,
    cache: new SifCache(join(directories.cache, 'sif')),
    cacheBytes: settings.cacheBytes,
    progress: terminal,
    signal,
  });
  const [base] = image.parts;
  // What is in the cache may be sent one day; right after it was made it is still in memory.
  if (how === 'converted' && base) await chunkIndexes(directories).obtain(base.path, base.sha256, signal);
  const written =
    outputPath === undefined
      ? undefined
      : await withStep(
          terminal,
          `Writing ${outputPath}`,
          () => writeSifFile(image, info, outputPath, signal),
          ({ sizeBytes }) => `Wrote ${outputPath} (${formatBytes(sizeBytes)})`,
        );
  print({ ...options, terminal }, { info, recipe, survey: image.survey, how, outputPath, written });
  return 0;
}

/** The image; with a platform, one that is for it. */
async function find(
  { terminal, signal }: Context,
  engine: ContainerEngine,
  name: string,
  platform: string | undefined,
): Promise<ImageInfo> {
  const here = platform === undefined ? await engine.inspect(name, { signal }) : undefined;
  if (here) return here;
  const wanted = platform ?? `linux/${await engine.architecture({ signal })}`;
  const { info } = await findOrPull({ progress: terminal, signal }, engine, name, wanted);
  requireArchitecture(info, { architecture: wanted.split('/')[1] ?? '' }, 'what --platform asks for');
  return info;
}

interface Conversion {
  info: ImageInfo;
  recipe: Recipe;
  survey: RootfsSurvey;
  how: ObtainedSif['how'];
  /** Both undefined where only the report was asked for. */
  outputPath: string | undefined;
  written: ConvertedImage | undefined;
}

function print(
  { json, report, terminal }: Pick<ConvertOptions, 'json' | 'report'> & Pick<Context, 'terminal'>,
  { info, recipe, survey, how, outputPath, written }: Conversion,
): void {
  const findings = reportParity({ info, survey, permissions: recipe.permissions });
  const all = [...findings, ...standingDifferences];
  if (json === true) {
    const { sha256, sizeBytes } = written ?? { sha256: null, sizeBytes: null };
    const reported = report === true ? { findings: all } : {};
    printJson({ type: 'converted', image: info.id, how, path: outputPath ?? null, sha256, sizeBytes, ...reported });
  } else if (report === true) {
    printLine(renderParityReport(all));
  } else if (findings.length > 0) {
    terminal.note(`${findings.length} things differ from docker run: hpcrun convert --report ${info.id.slice(7, 19)}`);
  }
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
