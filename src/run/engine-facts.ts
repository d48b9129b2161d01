import { execa } from 'execa';
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { throwIfInterrupted } from '../errors.js';
import { engineFailed } from '../image/engine-errors.js';
import type { EngineName } from '../image/engine.js';

/** What the engine that is to run a container can do. */
export interface EngineFacts {
  cpus: number;
  memoryBytes: number;
  /** Which limits it can hold a container to. */
  limits: { cpus: boolean; memory: boolean; swap: boolean };
  /** It runs as an ordinary user: identities in a container are not those outside. */
  isRootless: boolean;
  hasGpus: boolean;
  /** It has a program that can be process 1; Docker brings its own. */
  hasInit: boolean;
  /** SELinux labels would keep a container from directories that are bound. */
  hasSelinux: boolean;
}

const dockerSchema = z.object({
  NCPU: z.number(),
  MemTotal: z.number(),
  CpuCfsQuota: z.boolean().default(false),
  MemoryLimit: z.boolean().default(false),
  SwapLimit: z.boolean().default(false),
  SecurityOptions: z.array(z.string()).nullish(),
  Runtimes: z.record(z.string(), z.unknown()).nullish(),
});

const podmanSchema = z.object({
  host: z.object({
    cpus: z.number(),
    memTotal: z.number(),
    // In a machine of its own, which has all that Podman can use.
    serviceIsRemote: z.boolean().default(false),
    cgroupControllers: z.array(z.string()).nullish(),
    security: z.object({ rootless: z.boolean(), selinuxEnabled: z.boolean().default(false) }),
  }),
});

/** From `docker info --format '{{json .}}'` (Docker Engine API, SystemInfo). */
export function parseDockerInfo(json: string): EngineFacts {
  const info = dockerSchema.parse(JSON.parse(json));
  const hasSecurity = (name: string) => (info.SecurityOptions ?? []).some((option) => option.includes(`name=${name}`));
  return {
    cpus: info.NCPU,
    memoryBytes: info.MemTotal,
    limits: { cpus: info.CpuCfsQuota, memory: info.MemoryLimit, swap: info.SwapLimit },
    isRootless: hasSecurity('rootless'),
    hasGpus: info.Runtimes?.nvidia !== undefined,
    hasInit: true,
    hasSelinux: hasSecurity('selinux'),
  };
}

/** From `podman info --format json`; what it does not tell is looked for in the files of this machine. */
export function parsePodmanInfo(json: string, found: Pick<EngineFacts, 'hasGpus' | 'hasInit'>): EngineFacts {
  const { host } = podmanSchema.parse(JSON.parse(json));
  const controllers = host.cgroupControllers ?? [];
  return {
    cpus: host.cpus,
    memoryBytes: host.memTotal,
    limits: { cpus: controllers.includes('cpu'), memory: controllers.includes('memory'), swap: false },
    isRootless: host.security.rootless,
    hasGpus: found.hasGpus,
    hasInit: found.hasInit || host.serviceIsRemote,
    hasSelinux: host.security.selinuxEnabled,
  };
}

/** Throws ENGINE_FAILED. */
export async function probeEngine(name: EngineName, signal: AbortSignal): Promise<EngineFacts> {
  const format = name === 'docker' ? '{{json .}}' : 'json';
  const result = await execa(name, ['info', '--format', format], {
    reject: false,
    stdin: 'ignore',
    cancelSignal: signal,
    timeout: 20_000,
  });
  throwIfInterrupted(signal);
  if (result.exitCode !== 0) throw engineFailed(name, result.stderr);
  if (name === 'docker') return parseDockerInfo(result.stdout);
  return parsePodmanInfo(result.stdout, {
    // Device specifications (CDI).
    hasGpus: isInOneOf(['/etc/cdi', '/var/run/cdi'], 'nvidia.yaml'),
    // Where Podman looks for its helpers (containers.conf, helper_binaries_dir).
    hasInit: isInOneOf(
      ['/usr/local/libexec/podman', '/usr/local/lib/podman', '/usr/libexec/podman', '/usr/lib/podman'],
      'catatonit',
    ),
  });
}

function isInOneOf(directories: string[], name: string): boolean {
  return directories.some((directory) => existsSync(`${directory}/${name}`));
}
