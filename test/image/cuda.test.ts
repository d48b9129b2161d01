import { describe, expect, it } from 'vitest';
import { compareVersions, cudaOfEnvironment, cudaSupport, cudaVersionOfPath } from '../../src/image/cuda.js';

describe('cudaVersionOfPath', () => {
  it.each([
    ['usr/local/cuda-12.4', '12.4'],
    ['usr/local/cuda-12.4/targets/x86_64-linux/lib/libcudart.so.12.4.127', '12.4'],
    ['usr/lib/x86_64-linux-gnu/libcudart.so.11.0', '11.0'],
    ['usr/local/lib/python3.11/site-packages/nvidia/cuda_runtime/lib/libcudart.so.12', '12'],
    ['opt/venv/lib/python3.8/site-packages/torch/lib/libcudart-d0da41ae.so.11.0', '11.0'],
    ['opt/venv/lib/python3.11/site-packages/nvidia_cuda_runtime_cu12-12.4.127.dist-info', '12.4'],
    ['opt/venv/lib/python3.11/site-packages/nvidia_cuda_runtime-13.0.48.dist-info', '13.0'],
    ['opt/venv/lib/python3.11/site-packages/torch-2.6.0+cu124.dist-info', '12.4'],
    ['opt/venv/lib/python3.7/site-packages/torch-1.7.1+cu92.dist-info', '9.2'],
    ['opt/venv/lib/python3.7/site-packages/torch-1.13.0+cu117.egg-info', '11.7'],
    ['opt/venv/lib/python3.11/site-packages/jaxlib-0.4.20+cuda12.cudnn89.dist-info', '12'],
    ['opt/conda/conda-meta/cuda-cudart-12.1.105-0.json', '12.1'],
    ['opt/conda/conda-meta/cudatoolkit-11.3.1-h2bc3f7f_2.json', '11.3'],
    ['usr/local/cuda', undefined],
    ['usr/local/cuda-12.4/version.json', undefined],
    ['usr/lib/x86_64-linux-gnu/libcudart.so', undefined],
    ['opt/venv/lib/python3.11/site-packages/torch-2.6.0+cpu.dist-info', undefined],
    ['opt/venv/lib/python3.11/site-packages/torch-2.6.0+cu124.dist-info/METADATA', undefined],
    ['usr/lib/python3/dist-packages/torch/lib/libtorch_cuda.so', undefined],
    ['usr/share/doc/barracuda-12.4', undefined],
    ['', undefined],
  ])('%s → %s', (path, version) => {
    expect(cudaVersionOfPath(path)).toBe(version);
  });
});

describe('cudaOfEnvironment', () => {
  it('reads what NVIDIA sets in its images', () => {
    const environment = [
      'PATH=/usr/local/cuda/bin:/bin',
      'NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471 brand=unknown,driver>=535,driver<536',
      'CUDA_VERSION=12.4.1',
      'NV_CUDA_CUDART_VERSION=12.4.127-1',
    ];
    expect(cudaOfEnvironment(environment)).toEqual([
      { version: '12.4', source: 'NVIDIA_REQUIRE_CUDA' },
      { version: '12.4', source: 'CUDA_VERSION' },
    ]);
    expect(cudaOfEnvironment(['CUDA_VERSION=', 'MY_CUDA_VERSION=12.4', 'CUDA_VERSION'])).toEqual([]);
  });
});

describe('compareVersions', () => {
  it.each([
    ['12.4', '12.4', 0],
    ['12', '12.0', 0],
    ['12.4', '12.10', -1],
    ['13.0', '12.9', 1],
    ['3.2.0', '3.10.0', -1],
    ['4.18.0', '4.18', 0],
  ])('%s and %s: %d', (first, second, expected) => {
    expect(Math.sign(compareVersions(first, second))).toBe(expected);
    expect(Math.sign(compareVersions(second, first))).toBe(expected === 0 ? 0 : -expected);
  });
});

describe('cudaSupport', () => {
  // NVIDIA, CUDA Compatibility: drivers run what is older, and from CUDA 11 on what is newer of the same major version.
  it.each([
    ['12.4', '12.4', 'full'],
    ['11.8', '12.4', 'full'],
    ['9.0', '12.4', 'full'],
    ['12', '12.0', 'full'],
    ['12.6', '12.4', 'limited'],
    ['11.8', '11.0', 'limited'],
    ['12.0', '11.8', 'none'],
    ['13.0', '12.9', 'none'],
    ['10.2', '10.1', 'none'],
  ])('CUDA %s on a driver for %s: %s', (wanted, driver, support) => {
    expect(cudaSupport(wanted, driver)).toBe(support);
  });
});
