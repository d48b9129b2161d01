import type { Client, ParsedKey } from 'ssh2';

/** What a server may answer while somebody logs in (RFC 4252 and 4256). */
export type Answer =
  | { type: 'success' }
  /** `methods`: what the server accepts next; `isPartial`: the last request was right, and another one is wanted on top. */
  | { type: 'failure'; methods: string[]; isPartial: boolean }
  | { type: 'key-accepted' }
  | { type: 'questions'; name: string; instructions: string; questions: Question[] }
  | { type: 'new-password-wanted'; text: string };

export interface Question {
  text: string;
  echo: boolean;
}

/** What is asked of a server. A key is first offered, then proved. */
export type Request =
  | { type: 'none' }
  | { type: 'offer-key'; key: ParsedKey; algorithm: string }
  | { type: 'prove-key'; key: ParsedKey; algorithm: string; sign: (data: Buffer) => Promise<Buffer> }
  | { type: 'password'; password: string; newPassword?: string }
  | { type: 'keyboard-interactive' }
  | { type: 'answers'; answers: string[] };

/** The authentication of one connection: a request, then its answer. */
export interface Exchange {
  /** The signature algorithms for keys that the server has announced (RFC 8308); undefined without an announcement. */
  readonly signatureAlgorithms: string[] | undefined;
  send(request: Request): Promise<Answer>;
}

/** What is used of ssh2 beyond its documented interface; `openExchange` makes sure that it is there. */
interface Ssh2Internals {
  _remoteVer?: string;
  _protocol: {
    _handlers: Record<string, ((...values: never[]) => void) | undefined>;
    _authsQueue: string[];
    authNone(user: string): void;
    authPassword(user: string, password: string, newPassword?: string): void;
    authKeyboard(user: string): void;
    authInfoRes(answers: string[]): void;
    authPK(
      user: string,
      key: ParsedKey,
      algorithm: string,
      sign?: (data: Buffer, done: (signature: Buffer) => void) => void,
    ): void;
  };
}

/**
 * Takes the authentication of a connecting client into hpcrun's own hands; resolves when the server is ready for it. ssh2's own way
 * drops the text of questions that want no answer, asks an agent without telling whether a key was right and more is wanted, and
 * has no means to change a password. The messages themselves remain ssh2's.
 */
export function openExchange(client: Client, user: string): Promise<Exchange> {
  const internals = client as unknown as Ssh2Internals;
  const protocol = internals._protocol;
  const handlers = protocol._handlers;
  const { SERVICE_ACCEPT, USERAUTH_SUCCESS, EXT_INFO } = handlers;
  if (!SERVICE_ACCEPT || !USERAUTH_SUCCESS || !EXT_INFO || !Array.isArray(protocol._authsQueue)) {
    throw new Error('this release of ssh2 is not the one that hpcrun was made for');
  }
  let announced: string[] | undefined;
  let settle: { resolve: (answer: Answer) => void; reject: (error: unknown) => void } | undefined;
  const answer = (given: Answer) => {
    settle?.resolve(given);
    settle = undefined;
  };

  handlers.EXT_INFO = (_: unknown, extensions: { name: string; algs?: string[] }[]) => {
    announced ??= extensions.find(({ name }) => name === 'server-sig-algs')?.algs;
  };
  handlers.USERAUTH_SUCCESS = (...values: never[]) => {
    USERAUTH_SUCCESS(...values);
    answer({ type: 'success' });
  };
  handlers.USERAUTH_FAILURE = (_: unknown, methods: string[] | undefined, isPartial: boolean) => {
    answer({ type: 'failure', methods: methods ?? [], isPartial });
  };
  handlers.USERAUTH_PK_OK = () => {
    answer({ type: 'key-accepted' });
  };
  handlers.USERAUTH_INFO_REQUEST = (
    _: unknown,
    name: string,
    instructions: string,
    prompts: { prompt: string; echo: boolean }[],
  ) => {
    const questions = prompts.map(({ prompt, echo }) => ({ text: prompt, echo }));
    answer({ type: 'questions', name, instructions, questions });
  };
  handlers.USERAUTH_PASSWD_CHANGEREQ = (_: unknown, text: string) => {
    // Unlike the other answers, ssh2 does not count this one as one.
    protocol._authsQueue.shift();
    answer({ type: 'new-password-wanted', text });
  };

  const request = (wanted: Request, fail: (error: unknown) => void): void => {
    switch (wanted.type) {
      case 'none':
        protocol.authNone(user);
        return;
      case 'offer-key':
        protocol.authPK(user, wanted.key, wanted.algorithm);
        return;
      case 'prove-key':
        protocol.authPK(user, wanted.key, wanted.algorithm, (data, done) => {
          wanted.sign(data).then(done).catch(fail);
        });
        return;
      case 'password':
        protocol.authPassword(user, wanted.password, wanted.newPassword);
        return;
      case 'keyboard-interactive':
        protocol.authKeyboard(user);
        return;
      case 'answers':
        protocol.authInfoRes(wanted.answers);
        return;
    }
  };
  const exchange: Exchange = {
    get signatureAlgorithms() {
      // OpenSSH 7.4, CentOS 7's, takes SHA-2 signatures without announcing them.
      return internals._remoteVer?.startsWith('OpenSSH_7.4') ? [...(announced ?? []), 'rsa-sha2-256'] : announced;
    },
    send: (wanted) =>
      new Promise((resolve, reject) => {
        settle = { resolve, reject };
        request(wanted, reject);
      }),
  };
  return new Promise((resolve) => {
    handlers.SERVICE_ACCEPT = () => {
      resolve(exchange);
    };
  });
}
