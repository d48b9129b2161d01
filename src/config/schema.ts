import { z } from 'zod';
import { messageOf } from '../errors.js';
import { parseVolume, type Bind } from './bind.js';
import { parseBytes } from './quantities.js';
import { quantity, resourcesSchema, slurmWord } from './resources.js';
import { resumeSchema } from './resume.js';
import { remotePath, siteSettings } from './site-settings.js';

const variableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a variable name');
const variables = z.record(
  variableName,
  z
    .union([z.string(), z.number(), z.boolean()], { error: 'must be text, a number, true or false' })
    .transform((value) => String(value)),
);

const bind = z.string().transform((text, context): Bind => {
  try {
    return parseVolume(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) });
    return z.NEVER;
  }
});

const repository = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9.-]*(?::\d+)?(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+$/,
    'must be a registry and a name in it, such as ghcr.io/ada/hpcrun',
  );

/** A registry between this machine and the cluster. */
const registrySchema = z.strictObject({
  push: repository,
  pull: repository.optional(),
  insecure: z.boolean().default(false),
  credentials: z
    .enum(['none', 'environment', 'docker'], { error: 'must be none, environment or docker' })
    .default('none'),
});

export type Registry = z.output<typeof registrySchema>;

export const clusterSchema = z.strictObject({
  /** Whose profile holds where nothing else is said: the name of a file in sites/. */
  site: z
    .string()
    .regex(/^[A-Za-z0-9][\w.-]*$/, 'is not the name of a site')
    .optional(),
  host: z.string().min(1).optional(),
  port: z.int().min(1).max(65_535).optional(),
  user: z.string().min(1).optional(),
  identityFile: z.string().min(1).optional(),
  knownHostsFile: z.string().min(1).optional(),
  proxyJump: z.string().min(1).optional(),
  root: remotePath.optional(),
  store: z
    .strictObject({
      path: remotePath,
      group: z
        .string()
        .regex(/^[A-Za-z_][\w.@\\-]*$/, 'is not the name of a group')
        .optional(),
    })
    .optional(),
  registry: registrySchema.optional(),
  /** What a job asks for where neither the project nor the command line says. */
  resources: resourcesSchema.optional(),
  ...siteSettings,
});

/** How to reach a cluster and what hpcrun must know of it. */
export type Cluster = z.output<typeof clusterSchema>;

const clusterName = z.string().regex(/^[A-Za-z0-9][\w.-]*$/, 'is not a cluster name');

/** The shape of a job: a file of slurm-templates/. */
export const templateName = z.string().regex(/^[a-z][a-z0-9-]*$/, 'is not the name of a template');

const engine = z.enum(['docker', 'podman'], { error: 'must be docker or podman' });

/** How a Docker image becomes a SIF; `auto` looks at both sides and chooses. */
export const conversions = ['auto', 'native', 'apptainer', 'remote', 'slurm', 'registry'] as const;
export type Conversion = (typeof conversions)[number];
const conversion = z.enum(conversions, { error: `must be one of ${conversions.join(', ')}` });

/** Where the image comes from: a Dockerfile, an image the engine has or can pull, or a finished SIF. */
export const imageSchema = z
  .strictObject({
    dockerfile: z.string().min(1).optional(),
    context: z.string().min(1).optional(),
    target: z.string().min(1).optional(),
    args: variables.optional(),
    name: z
      .string()
      .regex(/^[^\s-]\S*$/, 'is not the name of an image')
      .optional(),
    sif: z.string().min(1).optional(),
    platform: z
      .string()
      .regex(/^(?:auto|linux\/[a-z0-9]+(?:\/v\d)?)$/, 'must be auto or a platform such as linux/amd64')
      .default('auto'),
    permissions: z.enum(['open', 'keep']).default('open'),
  })
  .superRefine((image, context) => {
    const building = (['dockerfile', 'context', 'target', 'args'] as const).filter((key) => image[key] !== undefined);
    const ways = [...(building.length > 0 ? building.slice(0, 1) : []), ...(['name', 'sif'] as const)].filter(
      (key) => image[key] !== undefined,
    );
    if (ways.length > 1) {
      context.addIssue({
        code: 'custom',
        message: `${ways.join(' and ')} exclude each other: an image is built, named or a SIF`,
      });
    }
  });

export const projectSchema = z.strictObject({
  cluster: clusterName.optional(),
  name: slurmWord.optional(),
  template: templateName.default('single'),
  image: imageSchema.prefault({}),
  engine: engine.optional(),
  convert: conversion.optional(),
  mount: z
    .string()
    .regex(/^\/[^,:\0\n]+$/, 'must be an absolute path in the container')
    .default('/workspace'),
  binds: z.array(bind).default([]),
  env: variables.default({}),
  secrets: z.array(variableName).default([]),
  results: z.strictObject({ exclude: z.array(z.string()).default([]) }).prefault({}),
  resources: resourcesSchema.prefault({}),
  /** What happens at the time limit. */
  resume: resumeSchema.optional(),
  clusters: z.record(clusterName, clusterSchema).default({}),
});

/** hpcrun.yaml, validated, with defaults. */
export type ProjectConfig = z.output<typeof projectSchema>;

export const userSchema = z.strictObject({
  cluster: clusterName.optional(),
  engine: engine.optional(),
  cache: z.strictObject({ size: quantity(parseBytes, 'a size such as 50G').optional() }).prefault({}),
  clusters: z.record(clusterName, clusterSchema).default({}),
});

/** The user's own config.yaml. */
export type UserConfig = z.output<typeof userSchema>;
