import { z } from 'zod';
import type { ImageInfo } from './engine.js';

const strings = z.array(z.string()).nullish();
const keys = z.record(z.string(), z.unknown()).nullish();

// Only what is used; the names of the Docker Engine API (ImageInspect), which Podman shares.
const inspectSchema = z.object({
  Id: z.string(),
  Os: z.string(),
  Architecture: z.string(),
  RootFS: z.object({ Layers: strings }).nullish(),
  Config: z
    .object({
      // Old images carry a single string.
      Entrypoint: z.union([z.array(z.string()), z.string().transform((text) => [text])]).nullish(),
      Cmd: strings,
      Env: strings,
      Labels: z.record(z.string(), z.string()).nullish(),
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      Volumes: keys,
      ExposedPorts: keys,
      Healthcheck: z.object({ Test: strings }).nullish(),
    })
    .nullish(),
  // Podman's places for it, before and since 4.4.
  Healthcheck: z.object({ Test: strings }).nullish(),
  HealthCheck: z.object({ Test: strings }).nullish(),
});

/** Podman before 4.5 prints an array, whatever the format. */
function onlyImage(printed: unknown): unknown {
  return Array.isArray(printed) ? printed[0] : printed;
}

/** One image as `docker image inspect` or `podman image inspect` prints it. */
export function parseInspection(json: string): ImageInfo {
  const { Id, Os, Architecture, RootFS, Config, Healthcheck, HealthCheck } = inspectSchema.parse(
    onlyImage(JSON.parse(json)),
  );
  const test = (Config?.Healthcheck ?? Healthcheck ?? HealthCheck)?.Test ?? [];
  return {
    id: Id.startsWith('sha256:') ? Id : `sha256:${Id}`,
    os: Os,
    architecture: Architecture,
    entrypoint: Config?.Entrypoint ?? [],
    command: Config?.Cmd ?? [],
    environment: Config?.Env ?? [],
    labels: Config?.Labels ?? {},
    user: Config?.User ?? '',
    workingDirectory:
      Config?.WorkingDir === undefined || Config.WorkingDir === null || Config.WorkingDir === ''
        ? '/'
        : Config.WorkingDir,
    volumes: Object.keys(Config?.Volumes ?? {}).sort(),
    ports: Object.keys(Config?.ExposedPorts ?? {}).sort(),
    healthcheck: test[0] === 'NONE' ? [] : test,
    layers: RootFS?.Layers ?? [],
  };
}
