import { HpcrunError } from '../../src/errors.js';

/** The HpcrunError that `work` ends with. Fails the test if it ends well or with any other error. */
export async function failureOf(work: () => unknown): Promise<HpcrunError> {
  let result: unknown;
  try {
    result = await work();
  } catch (error) {
    if (error instanceof HpcrunError) return error;
    throw error;
  }
  throw new Error(`expected an HpcrunError, got ${JSON.stringify(result)}`);
}
