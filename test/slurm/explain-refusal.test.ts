import { describe, expect, it } from 'vitest';
import { explainRefusal } from '../../src/slurm/explain-refusal.js';

describe('explainRefusal', () => {
  it("keeps SLURM's own words, without what could move the cursor", () => {
    const error = explainRefusal('sbatch: error: no \u001b[2Jsuch partition\n', '');
    expect(error.code).toBe('SLURM_REFUSED');
    expect(error.message).toContain('such partition');
    expect(error.message).not.toContain('\u001b');
    expect(explainRefusal('', '').message).toBe('sbatch failed without a message');
  });

  it.each([
    ['sbatch: error: --mem is not allowed here', '', 'Leave out --memory'],
    ['sbatch: error: Memory specification can not be satisfied', '', 'ask for less'],
    ['error: Invalid account or account/partition combination specified', 'account a1\naccount b.2\n', 'a1, b.2'],
    ['error: Invalid account or account/partition combination specified', 'account a1\n', '--account a1'],
    ['error: Invalid account or account/partition combination specified', '', 'sacctmgr show assoc'],
    ['error: invalid partition specified: gpu', '', 'sinfo'],
    ['error: Invalid qos specification', '', '--qos'],
    ['error: QOSMaxSubmitJobPerUserLimit\nerror: Job violates accounting/QOS policy', 'account a1\n', 'Ask for less'],
  ])('says what to change after "%s"', (stderr, output, hint) => {
    expect(explainRefusal(stderr, output).hint).toContain(hint);
  });

  it('takes nothing else for an account', () => {
    expect(explainRefusal('account', 'account $(rm)\nmissing code\n').hint).toContain('sacctmgr show assoc');
  });
});
