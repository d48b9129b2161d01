import { describe, expect, it } from 'vitest';
import { parsePorts } from '../../src/cli/forward.js';
import { failureOf } from '../support/failure.js';

describe('parsePorts', () => {
  it.each([
    [undefined, { port: undefined, localPort: undefined }],
    ['8888', { port: 8888, localPort: undefined }],
    ['9000:8888', { port: 8888, localPort: 9000 }],
    ['0:8888', { port: 8888, localPort: 0 }],
    ['65535:1', { port: 1, localPort: 65_535 }],
  ])('reads %s', (text, ports) => {
    expect(parsePorts(text)).toEqual(ports);
  });

  it.each(['', '0', '65536', '65536:1', 'http', '1:2:3', '-1', '80:', ':80', ' 80', '8e2'])(
    'refuses "%s"',
    async (text) => {
      expect(await failureOf(() => parsePorts(text))).toMatchObject({ code: 'USAGE' });
    },
  );
});
