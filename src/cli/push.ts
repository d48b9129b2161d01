import { resolve } from 'node:path';
import { loadProject, requireProject } from '../config/project.js';
import { HpcrunError } from '../errors.js';
import { planImage, type ImagePlan } from '../run/plan.js';
import { resourcesOn } from '../run/site-request.js';
import { pushImage } from '../run/push.js';
import { makeContext, withSession, type CommonOptions, type Context } from './context.js';
import { printJson } from './output.js';
import { parseConversion } from './run-options.js';

export interface PushOptions extends CommonOptions {
  buildArg?: string[];
  convert?: string;
  cache?: boolean;
}

/** `hpcrun push`. */
export async function pushCommand(image: string | undefined, options: PushOptions): Promise<number> {
  const context = makeContext(options);
  const plan = await planPush(context, image, options);
  return await withSession(context, options, async (session) => {
    const resources = resourcesOn(session.cluster, plan.resources);
    const parts = await pushImage(session, { ...plan, resources });
    if (options.json) printJson({ type: 'pushed', cluster: session.cluster.name, parts });
    return 0;
  });
}

/** The project's image, or the one that is named: a SIF by its file name, an engine's by its own. */
async function planPush({ cwd, env }: Context, image: string | undefined, options: PushOptions): Promise<ImagePlan> {
  const request = {
    resources: {},
    buildArgs: options.buildArg ?? [],
    ...(options.convert === undefined ? {} : { conversion: parseConversion(options.convert) }),
    noCache: options.cache === false,
  };
  if (image === undefined) return await planImage(await requireProject(cwd), request, env);
  if (request.buildArgs.length > 0) {
    throw new HpcrunError('USAGE', '--build-arg is for an image that is built, and this one is finished', {
      hint: 'hpcrun push without an image builds the one of the project.',
    });
  }
  const config = (await loadProject(cwd))?.config;
  return {
    image: image.endsWith('.sif') ? { kind: 'sif', path: resolve(cwd, image) } : { kind: 'name', name: image },
    platform: undefined,
    permissions: config?.image.permissions ?? 'open',
    conversion: request.conversion ?? config?.convert ?? 'auto',
    noCache: request.noCache,
    resources: config?.resources ?? {},
    mount: config?.mount ?? '/workspace',
  };
}
