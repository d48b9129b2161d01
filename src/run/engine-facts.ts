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
    hasSelinux: hasSecurity('selinux'),
  };
}

/** From `podman info --format json`; whether it has GPUs to give is told by the device specifications (CDI) of the machine. */
export function parsePodmanInfo(json: string, hasGpus: boolean): EngineFacts {
  const { host } = podmanSchema.parse(JSON.parse(json));
  const controllers = host.cgroupControllers ?? [];
  return {
    cpus: host.cpus,
    memoryBytes: host.memTotal,
    limits: { cpus: controllers.includes('cpu'), memory: controllers.includes('memory'), swap: false },
    isRootless: host.security.rootless,
    hasGpus,
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
  return parsePodmanInfo(
    result.stdout,
    ['/etc/cdi', '/var/run/cdi'].some((path) => existsSync(`${path}/nvidia.yaml`)),
  );
}
