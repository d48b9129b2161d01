import { connect } from 'node:net';
import ssh2, { type ParsedKey } from 'ssh2';
import { messageOf } from '../errors.js';
import { hostKeyType } from './known-hosts.js';

const listTimeoutMs = 10_000;
// An agent that has been sent a bug, not a list.
const listLimitBytes = 1 << 20;

/** One key of an SSH agent: its public part as SSH sends it. */
export interface AgentKey {
  type: string;
  blob: Buffer;
  comment: string;
}

/** The keys an agent holds, also those of kinds that ssh2 does not know (draft-ietf-sshm-ssh-agent, section 3.5). */
export function listAgentKeys(socketPath: string): Promise<AgentKey[]> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = connect(socketPath, () => {
      socket.write(Buffer.from([0, 0, 0, 1, 11]));
    });
    const finish = (settle: () => void) => {
      socket.destroy();
      settle();
    };
    socket.setTimeout(listTimeoutMs, () => {
      socket.destroy(new Error('the agent does not answer'));
    });
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4) return;
      const length = received.readUInt32BE(0);
      if (length > listLimitBytes) socket.destroy(new Error('the agent answers with something else than a list'));
      else if (received.length >= length + 4) {
        const message = received.subarray(4, length + 4);
        finish(() => {
          resolve(parseAgentKeys(message));
        });
      }
    });
    socket.on('error', reject);
    socket.on('close', () => {
      reject(new Error('the agent closed the connection'));
    });
  });
}

/** Reads SSH_AGENT_IDENTITIES_ANSWER; a refusal, or a message that is cut off, holds no (more) keys. */
export function parseAgentKeys(message: Buffer): AgentKey[] {
  const keys: AgentKey[] = [];
  if (message[0] !== 12) return keys;
  let at = 5;
  const next = (): Buffer | undefined => {
    if (at + 4 > message.length) return undefined;
    const end = at + 4 + message.readUInt32BE(at);
    if (end > message.length) return undefined;
    const field = message.subarray(at + 4, end);
    at = end;
    return field;
  };
  for (let blob = next(), comment = next(); blob && comment; blob = next(), comment = next()) {
    keys.push({ type: hostKeyType(blob), blob, comment: comment.toString('utf8') });
  }
  return keys;
}

/** Has the agent sign; it may ask its owner first, or want a touch. */
export function signWithAgent(
  socketPath: string,
  key: ParsedKey,
  data: Buffer,
  hash: 'sha256' | 'sha512' | undefined,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    ssh2.createAgent(socketPath).sign(key, data, hash === undefined ? {} : { hash }, (error, signature) => {
      if (signature) resolve(signature);
      else reject(new Error(`the agent did not sign: ${messageOf(error)}`));
    });
  });
}
