import { Duplex, PassThrough } from 'node:stream';
import { HpcrunError, messageOf } from '../../errors.js';
import type { Connection } from '../../ssh/connection.js';
import { quote } from '../../ssh/quote.js';
import { printable } from '../../ssh/terminal-text.js';

/** Says that the port is reached: everything behind it is the service's own. */
const reachedMark = '+';

// What is left when this side has sent all it has may take a while, but not for ever.
const python = `import os, socket, sys, threading
try:
    there = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
except OSError as error:
    sys.exit(str(error))
there.settimeout(None)
os.write(1, b"${reachedMark}")
def send():
    while True:
        chunk = os.read(0, 65536)
        if not chunk:
            break
        there.sendall(chunk)
    there.settimeout(60)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
try:
    while True:
        chunk = there.recv(65536)
        if not chunk:
            break
        while chunk:
            chunk = chunk[os.write(1, chunk):]
except OSError:
    pass
os._exit(0)
`;

// It cannot end one direction alone: when this side has sent all it has, the rest is waited for a moment.
const bash = `exec 3<>"/dev/tcp/$1/$2" || exit 1
printf ${reachedMark}
cat <&3 & back=$!
(cat >&3; sleep 5; kill "$back") <&4 2>/dev/null & forth=$!
wait "$back"
kill "$forth"
exit 0
`;

/** Shell function `carry host port`: carries bytes between its standard input and output and a TCP port, as that machine reaches it. */
const carry = `carry() {
  if command -v python3 >/dev/null; then exec python3 -c ${quote(python)} "$1" "$2"; fi
  exec bash -c ${quote(bash)} carry "$1" "$2" 4<&0
}
`;

/** A shell script that carries bytes to a port. */
export function renderCarrier(host: string, port: number): string {
  return `${carry}carry ${quote(host)} ${port}\n`;
}

/** A byte stream through a script made with `renderCarrier`. Throws FORWARD_REFUSED if it does not reach the port, and what a connection throws. */
export function openCarrier(connection: Connection, script: string, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const ending = AbortSignal.any([over.signal, signal]);
    const input = new PassThrough();
    let taken: () => void = () => undefined;
    let isReached = false;
    const stream = new Duplex({
      read: () => {
        taken();
      },
      write: (chunk: Buffer, encoding, done) => {
        if (input.write(chunk, encoding)) done();
        else input.once('drain', done);
      },
      final: (done) => {
        input.end(done);
      },
      destroy: (error, done) => {
        over.abort();
        done(error);
      },
    });
    const give = (chunk: Buffer): void | Promise<void> => {
      if (chunk.length === 0 || stream.push(chunk)) return;
      return new Promise((ready) => {
        taken = ready;
      });
    };
    const onStdout = (chunk: Buffer) => {
      if (isReached) return give(chunk);
      isReached = true;
      resolve(stream);
      return give(chunk.subarray(reachedMark.length));
    };
    connection.stream(script, { signal: ending, stdin: input, onStdout }).then(
      ({ stderr }) => {
        if (isReached) stream.push(null);
        else reject(new HpcrunError('FORWARD_REFUSED', printable(stderr.trim()) || 'the port was not reached'));
      },
      (error: unknown) => {
        const failure = error instanceof Error ? error : new Error(messageOf(error));
        if (!isReached) reject(failure);
        else if (!stream.destroyed) stream.destroy(failure);
      },
    );
  });
}
