import { z } from 'zod';
import { projectSchema } from './schema.js';

/** The JSON Schema of hpcrun.yaml, for editors; published as schema/hpcrun.schema.json. */
export function renderJsonSchema(): string {
  const schema = z.toJSONSchema(projectSchema, { io: 'input' });
  return `${JSON.stringify({ title: 'hpcrun.yaml', ...schema }, null, 2)}\n`;
}
