import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { hasSocket, placeIn, socketPlace, type SocketPlace } from '../../../src/ssh/sharing/socket-place.js';
import { makeTemporaryDirectory } from '../../support/temporary-directory.js';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A place as `hpcrun connect` makes it. */
async function makePlace(): Promise<SocketPlace> {
  const place = placeIn(join(await makeTemporaryDirectory(), 'hpcrun', 'key'));
  await mkdir(place.directory, { recursive: true, mode: 0o700 });
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(place.socket, resolve));
  await chmod(place.socket, 0o600);
  await writeFile(place.token, 'token', { mode: 0o600 });
  return place;
}

describe('the place of a socket', () => {
  const inputs = { env: { XDG_RUNTIME_DIR: '/run/user/1000' }, stateDirectory: '/home/ada/.local/state/hpcrun' };

  it('is another one for another cluster, host, user, or state directory', () => {
    const place = socketPlace(inputs, ['claix', { host: 'login', user: 'ada' }]);
    expect(place.socket).toMatch(/^\/run\/user\/1000\/hpcrun\/[0-9a-f]{20}\/socket$/);
    expect(socketPlace(inputs, ['claix', { host: 'login', user: 'ada' }])).toEqual(place);
    for (const other of [
      socketPlace(inputs, ['other', { host: 'login', user: 'ada' }]),
      socketPlace(inputs, ['claix', { host: 'login', user: 'bob' }]),
      socketPlace({ ...inputs, stateDirectory: '/elsewhere' }, ['claix', { host: 'login', user: 'ada' }]),
    ]) {
      expect(other.socket).not.toBe(place.socket);
    }
  });

  it('is short enough for a socket, whatever the directories are called', () => {
    for (const length of [1, 30, 50, 70, 200]) {
      const long = `/${'d'.repeat(length)}`;
      for (const env of [{}, { XDG_RUNTIME_DIR: long }, { XDG_RUNTIME_DIR: 'relative' }]) {
        const { socket } = socketPlace({ env, stateDirectory: long }, 'x');
        expect(Buffer.byteLength(socket)).toBeLessThan(104);
        expect(socket.startsWith('/')).toBe(true);
      }
    }
  });
});

describe('a socket', () => {
  const unsafe = { code: 'SHARED_CONNECTION_UNSAFE' };

  it('is used when it is the user’s alone', async () => {
    expect(await hasSocket(await makePlace())).toBe(true);
    expect(await hasSocket(placeIn('/nonexistent/hpcrun/key'))).toBe(false);
  });

  it('is refused when others can use it, its directory or its token', async () => {
    const open = await makePlace();
    await chmod(open.socket, 0o666);
    await expect(hasSocket(open)).rejects.toMatchObject(unsafe);
    const listed = await makePlace();
    await chmod(listed.directory, 0o711);
    await expect(hasSocket(listed)).rejects.toMatchObject(unsafe);
    const above = await makePlace();
    await chmod(join(above.directory, '..'), 0o777);
    await expect(hasSocket(above)).rejects.toMatchObject(unsafe);
    const readable = await makePlace();
    await chmod(readable.token, 0o644);
    await expect(hasSocket(readable)).rejects.toMatchObject(unsafe);
  });

  it('is refused when it is something else', async () => {
    const place = await makePlace();
    const linked = placeIn(join(await makeTemporaryDirectory(), 'hpcrun', 'key'));
    await mkdir(join(linked.directory, '..'), { recursive: true, mode: 0o700 });
    await symlink(place.directory, linked.directory);
    await expect(hasSocket(linked)).rejects.toMatchObject(unsafe);
  });

  it('is refused when it belongs to another user', async (context) => {
    if (process.getuid?.() !== 0) context.skip('only root can give a file away');
    for (const part of ['socket', 'directory', 'token'] as const) {
      const place = await makePlace();
      await chown(place[part], 12_345, 12_345);
      await expect(hasSocket(place)).rejects.toMatchObject({
        ...unsafe,
        message: expect.stringContaining('12345') as string,
      });
    }
  });
});
