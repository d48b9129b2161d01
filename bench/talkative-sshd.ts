import { execa } from 'execa';
import { loginContainer } from './sandbox.js';

/** What a server saw of one command. */
export interface SeenBySshd {
  connections: number;
  /** Commands that were started, one for each session. */
  sessions: number;
  roundTrips: number;
}

interface LogLine {
  atMs: number;
  text: string;
}

/**
 * A second sshd in the login container that tells of every packet.
 * @param port one that no other sshd listens at
 */
export class TalkativeSshd {
  private readonly lines: LogLine[] = [];

  private constructor(
    readonly host: string,
    readonly port: number,
  ) {}

  /** Runs `work` with such a server. */
  static async with<T>(port: number, work: (sshd: TalkativeSshd) => Promise<T>): Promise<T> {
    const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
    const { stdout: host } = await execa('docker', ['inspect', '--format', format, loginContainer]);
    const sshd = new TalkativeSshd(host, port);
    const pidFile = `/run/sshd-${port}.pid`;
    const options = ['LogLevel=DEBUG3', `PidFile=${pidFile}`].flatMap((option) => ['-o', option]);
    const argv = ['/usr/sbin/sshd', '-D', '-e', '-f', '/dev/null', '-p', String(port), ...options];
    const running = execa('docker', ['exec', loginContainer, ...argv], {
      reject: false,
      buffer: false,
      stdout: 'ignore',
    });
    let rest = '';
    running.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      for (const text of parts) sshd.lines.push({ atMs: performance.now(), text });
    });
    try {
      const isListening = () => sshd.lines.some(({ text }) => text.startsWith('Server listening'));
      while (!isListening())
        await Promise.race([new Promise((resolve) => running.stderr.once('data', resolve)), failing(running)]);
      return await work(sshd);
    } finally {
      await execa('docker', ['exec', loginContainer, 'sh', '-c', `kill "$(cat ${pidFile})"`], { reject: false });
      await running;
    }
  }

  /**
   * What it sees of `work`, which reaches it through a link with that round trip. A round trip is counted where a packet comes after the server
   * has sent something and has then waited for nearly as long, so that packets sent without waiting are not.
   */
  async watch(roundTripMs: number, work: () => Promise<unknown>): Promise<SeenBySshd> {
    await this.settle();
    const first = this.lines.length;
    await work();
    await this.settle();
    return countSeen(this.lines.slice(first), roundTripMs);
  }

  /** Its last words about what is over come a moment later. */
  private async settle(): Promise<void> {
    for (let before = -1; before !== this.lines.length;) {
      before = this.lines.length;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

async function failing(running: PromiseLike<unknown>): Promise<never> {
  await running;
  throw new Error('sshd did not start');
}

/** DISCONNECT, CHANNEL_WINDOW_ADJUST, CHANNEL_EOF and CHANNEL_CLOSE (RFC 4250, 4.1): they come when they come, and hold up nobody. */
const waitsForNothing = new Set([1, 93, 96, 97]);

/** Counts in an sshd's log at level DEBUG3. */
function countSeen(lines: LogLine[], roundTripMs: number): SeenBySshd {
  const count = (pattern: RegExp) => lines.filter(({ text }) => pattern.test(text)).length;
  const connections = count(/^Connection from /);
  let sentAtMs: number | undefined;
  let waits = 0;
  for (const { atMs, text } of lines) {
    const [, direction, type = ''] = /^debug3: (send|receive) packet: type (\d+)/.exec(text) ?? [];
    if (direction === 'send') sentAtMs = atMs;
    else if (direction === 'receive' && sentAtMs !== undefined && !waitsForNothing.has(Number(type))) {
      if (atMs - sentAtMs > roundTripMs * 0.8) waits += 1;
      sentAtMs = undefined;
    }
  }
  return {
    connections,
    sessions: count(/^Starting session: command/),
    // The last answer is followed by no packet. A connection takes two more, TCP's and the exchange of versions, which is no packet yet.
    roundTrips: waits + 1 + 2 * connections,
  };
}
