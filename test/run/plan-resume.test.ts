import { describe, expect, it } from 'vitest';
import { planResume } from '../../src/run/plan-resume.js';
import { failureOf } from '../support/failure.js';

type Inputs = Parameters<typeof planResume>[0];

const plan = (inputs: Partial<Inputs>) =>
  planResume({ configured: undefined, asked: undefined, template: 'single', resources: {}, ...inputs });

const usual = { beforeSeconds: 120, signal: 'TERM', maxRestarts: 50 };

describe('planResume', () => {
  it.each<[string, Partial<Inputs>, unknown]>([
    ['nothing said', {}, undefined],
    ['--resume', { asked: true }, usual],
    ['resume: true', { configured: true }, usual],
    ['--no-resume', { configured: { before: 60 }, asked: false }, undefined],
    ['resume: false, and --resume', { configured: false, asked: true }, usual],
    ['resume: {}', { configured: {} }, usual],
    [
      'a flag over a key',
      { configured: { before: 60, signal: 'USR1' }, asked: { before: 90 } },
      { ...usual, beforeSeconds: 90, signal: 'USR1' },
    ],
    ['a short time limit', { asked: true, resources: { time: 60 } }, { ...usual, beforeSeconds: 20 }],
    ['a chain', { template: 'chain', configured: { links: 3 } }, { ...usual, links: 3 }],
    [
      'a chain, whatever --no-resume says',
      { template: 'chain', configured: { links: 3 }, asked: false },
      { ...usual, links: 3 },
    ],
    ['a shell in a project whose trainings go on', { template: 'shell', configured: true }, undefined],
    ['links of a configured chain without its template', { configured: { links: 3 } }, usual],
  ])('%s', (_, inputs, expected) => {
    expect(plan(inputs)).toEqual(expected);
  });

  it.each<[string, Partial<Inputs>]>([
    ['--template chain --links 4', { template: 'chain' }],
    ['--resume-before', { asked: { before: 40 }, resources: { time: 60 } }],
    ['--resume-before', { asked: true, resources: { time: 15 } }],
    ['--resume-before', { asked: { before: 5 } }],
    ['--resume-before', { asked: true, resources: { sbatchArgs: [{ name: 'signal', value: 'USR1@60' }] } }],
    ['single and chain', { template: 'torchrun', asked: true }],
    ['--no-resume', { template: 'array', configured: true }],
  ])('refuses what does not go together, and names %s', async (hint, inputs) => {
    const error = await failureOf(() => plan(inputs));
    expect(error.code).toBe('USAGE');
    expect(error.hint).toContain(hint);
  });
});
