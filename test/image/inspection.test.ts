import { describe, expect, it } from 'vitest';
import { parseInspection } from '../../src/image/inspection.js';
import { emptyImage } from '../../src/image/engine.js';

const id = `sha256:${'ab'.repeat(32)}`;

// What the clients print, shortened to the members that are read.
const docker = {
  Id: id,
  Os: 'linux',
  Architecture: 'amd64',
  RootFS: { Type: 'layers', Layers: ['sha256:1', 'sha256:2'] },
  Config: {
    User: 'app',
    ExposedPorts: { '8888/tcp': {}, '6006/tcp': {} },
    Env: ['PATH=/usr/bin', 'A=x=y'],
    Cmd: null,
    Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 30 },
    Volumes: { '/data': {}, '/a': {} },
    WorkingDir: '/srv',
    Entrypoint: ['python3'],
    Labels: { who: 'ada' },
  },
};

describe('parseInspection', () => {
  it('reads what Docker prints', () => {
    expect(parseInspection(JSON.stringify(docker))).toEqual({
      id,
      os: 'linux',
      architecture: 'amd64',
      entrypoint: ['python3'],
      command: [],
      environment: ['PATH=/usr/bin', 'A=x=y'],
      labels: { who: 'ada' },
      user: 'app',
      workingDirectory: '/srv',
      volumes: ['/a', '/data'],
      ports: ['6006/tcp', '8888/tcp'],
      healthcheck: ['CMD-SHELL', 'true'],
      layers: ['sha256:1', 'sha256:2'],
    });
  });

  it('reads what Podman prints: in an array, the id without its algorithm, HEALTHCHECK in another place', () => {
    const { Config, ...rest } = docker;
    const { Healthcheck, ...config } = Config;
    const expected = parseInspection(JSON.stringify(docker));
    for (const place of ['Healthcheck', 'HealthCheck']) {
      const podman = [{ ...rest, Id: 'ab'.repeat(32), Config: config, [place]: Healthcheck }];
      expect(parseInspection(JSON.stringify(podman))).toEqual(expected);
    }
  });

  it('reads an image that says nothing', () => {
    const text = JSON.stringify({ Id: id, Os: 'linux', Architecture: 'amd64', Config: null });
    expect(parseInspection(text)).toEqual({ ...emptyImage, id });
    const none = { ...docker, Config: { Healthcheck: { Test: ['NONE'] }, Entrypoint: 'sh' } };
    expect(parseInspection(JSON.stringify(none))).toMatchObject({ healthcheck: [], entrypoint: ['sh'] });
  });
});
