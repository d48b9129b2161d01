import { describe, expect, it } from 'vitest';
import { parseMount, parseVolume, type Bind } from '../../src/config/bind.js';
import { failureOf } from '../support/failure.js';

const data = (readonly: boolean): Bind => ({ source: '/scratch/data', target: '/data', readonly });

describe('parseVolume', () => {
  it.each<[string, Bind]>([
    ['/scratch/data:/data', data(false)],
    ['/scratch/data:/data:ro', data(true)],
    ['/scratch/data:/data:rw', data(false)],
    ['~:/home/me', { source: '~', target: '/home/me', readonly: false }],
    ['$WORK/my data:/my data:ro', { source: '$WORK/my data', target: '/my data', readonly: true }],
  ])('reads %j', (text, expected) => {
    expect(parseVolume(text)).toEqual(expected);
  });

  it.each([
    ['', 'is not SOURCE:TARGET'],
    ['/data', 'is not SOURCE:TARGET'],
    ['/data:', 'is not SOURCE:TARGET'],
    [':/data', 'is not SOURCE:TARGET'],
    ['/a:/b:readonly', 'is not SOURCE:TARGET'],
    ['/a:/b:ro:z', 'is not SOURCE:TARGET'],
    ['data:/data', 'must be an absolute path on the cluster'],
    ['./data:/data', 'must be an absolute path on the cluster'],
    ['/data:data', 'must be an absolute path in the container'],
    ['/a,b:/data', 'cannot bind'],
    ['/a:/data,ro', 'cannot bind'],
    ['/a\nb:/data', 'cannot bind'],
  ])('refuses %j', async (text, problem) => {
    const error = await failureOf(() => parseVolume(text));
    expect(error.code).toBe('USAGE');
    expect(error.message).toContain(problem);
    expect(error.message).toContain(text);
    expect(error.hint).toBeTruthy();
  });
});

describe('parseMount', () => {
  it.each<[string, Bind]>([
    ['type=bind,source=/scratch/data,target=/data', data(false)],
    ['type=bind,src=/scratch/data,dst=/data,readonly', data(true)],
    ['target=/data,source=/scratch/data,type=bind,ro', data(true)],
    ['type=bind,source=/scratch/data,destination=/data,readonly=true', data(true)],
    ['type=bind,source=/scratch/data,target=/data,readonly=false', data(false)],
    ['type=bind,source=/scratch/data,target=/data,ro=0', data(false)],
    ['type=bind,source=/a=b,target=/data', { source: '/a=b', target: '/data', readonly: false }],
  ])('reads %j', (text, expected) => {
    expect(parseMount(text)).toEqual(expected);
  });

  it.each([
    ['type=volume,source=/a,target=/b', 'needs type=bind'],
    ['source=/a,target=/b', 'needs type=bind'],
    ['type=bind,target=/b', 'needs type=bind'],
    ['type=bind,source=/a', 'needs type=bind'],
    ['type=bind,source=/a,target=/b,bind-propagation=shared', 'unknown key "bind-propagation"'],
    ['type=bind,source=/a,src=/c,target=/b', 'unknown key "src"'],
    ['type=bind,source=a,target=/b', 'must be an absolute path on the cluster'],
    ['type=bind,source=/a,target=b', 'must be an absolute path in the container'],
    ['type=bind,source=/a:b,target=/b', 'cannot bind'],
    ['', 'unknown key'],
  ])('refuses %j', async (text, problem) => {
    const error = await failureOf(() => parseMount(text));
    expect(error.code).toBe('USAGE');
    expect(error.message).toContain(problem);
  });
});
