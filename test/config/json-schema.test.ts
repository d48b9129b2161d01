import { describe, expect, it } from 'vitest';
import { renderJsonSchema } from '../../src/config/json-schema.js';

describe('the published JSON Schema', () => {
  it('is the one the code validates with (update: npx vitest run --project unit -u)', async () => {
    await expect(renderJsonSchema()).toMatchFileSnapshot('../../schema/hpcrun.schema.json');
  });
});
