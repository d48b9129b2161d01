import { describe, expect, it } from 'vitest';
import { parseDockerInfo, parsePodmanInfo } from '../../src/run/engine-facts.js';

// Docker 20.10 and Podman 4.3 on Debian 12; what is not looked at is left out.
const dockerInfo = `{"Driver":"overlay2","MemoryLimit":true,"SwapLimit":true,"CpuCfsPeriod":true,"CpuCfsQuota":true,
"CgroupVersion":"1","OSType":"linux","Architecture":"x86_64","NCPU":2,"MemTotal":25276510208,
"Runtimes":{"io.containerd.runc.v2":{"path":"runc"},"runc":{"path":"runc"}},"DefaultRuntime":"runc",
"SecurityOptions":["name=seccomp,profile=default"]}`;
const podmanInfo = `{"host":{"arch":"amd64","cgroupVersion":"v1","cgroupControllers":["cpuset","cpu","cpuacct","memory"],
"cpus":2,"memTotal":25276510208,"security":{"apparmorEnabled":false,"rootless":false,"selinuxEnabled":false}}}`;

const machine = {
  cpus: 2,
  memoryBytes: 25276510208,
  isRootless: false,
  hasGpus: false,
  hasInit: true,
  hasSelinux: false,
};

describe('parseDockerInfo', () => {
  it('reads what the machine has', () => {
    expect(parseDockerInfo(dockerInfo)).toEqual({ ...machine, limits: { cpus: true, memory: true, swap: true } });
  });

  it('notices GPUs, SELinux and an engine without root', () => {
    const info = JSON.parse(dockerInfo) as Record<string, unknown>;
    const other = { ...info, Runtimes: { nvidia: {} }, SecurityOptions: ['name=rootless', 'name=selinux'] };
    expect(parseDockerInfo(JSON.stringify(other))).toMatchObject({
      isRootless: true,
      hasGpus: true,
      hasSelinux: true,
    });
  });

  it('claims no limits where Docker says nothing of them', () => {
    const limits = { cpus: false, memory: false, swap: false };
    expect(parseDockerInfo('{"NCPU":4,"MemTotal":5}')).toMatchObject({ cpus: 4, limits });
  });
});

describe('parsePodmanInfo', () => {
  it('reads what the machine has', () => {
    const limits = { cpus: true, memory: true, swap: false };
    expect(parsePodmanInfo(podmanInfo, { hasGpus: false, hasInit: true })).toEqual({ ...machine, limits });
    expect(parsePodmanInfo(podmanInfo, { hasGpus: true, hasInit: false })).toMatchObject({
      hasGpus: true,
      hasInit: false,
    });
  });

  it('trusts a Podman in a machine of its own to have what it needs', () => {
    const remote = podmanInfo.replace('"arch"', '"serviceIsRemote":true,"arch"');
    expect(parsePodmanInfo(remote, { hasGpus: false, hasInit: false }).hasInit).toBe(true);
  });

  it('knows that Podman without cgroups cannot limit anything', () => {
    const json = podmanInfo.replace(/\["cpuset.*?\]/, 'null').replace('"rootless":false', '"rootless":true');
    expect(parsePodmanInfo(json, { hasGpus: false, hasInit: true })).toMatchObject({
      isRootless: true,
      limits: { cpus: false, memory: false },
    });
  });
});
