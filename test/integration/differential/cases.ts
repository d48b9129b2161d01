import { createHash } from 'node:crypto';
import type { ParityCode } from '../../../src/image/parity.js';
import { debianImage } from './busybox.js';
import type { Difference } from './observation.js';

/** A difference that is meant. */
export interface KnownDifference extends Difference {
  /** The parity report's code for it; undefined where nobody need be told. */
  reportedAs: ParityCode | undefined;
}

function known(
  reportedAs: KnownDifference['reportedAs'],
  what: string,
  docker: string | undefined,
  job: string | undefined,
): KnownDifference {
  return { reportedAs, what, docker, job };
}

type Run =
  | { kind: 'probe' }
  | { kind: 'image' }
  | { kind: 'command'; argv: string[] }
  /** As `hpcrun submit PATH ARGS`, beside the arguments of the `docker run` that is meant by it. */
  | { kind: 'script'; path: string; args: string[]; dockerArgv: string[] };

export interface DifferentialCase {
  title: string;
  /** What stands in the Dockerfile behind `FROM` the test's busybox. */
  dockerfile?: string;
  from?: string;
  buildArgs?: Record<string, string>;
  /** Instead of a Dockerfile: the options `--change` of a `docker import` of the busybox image. */
  changes?: string[];
  /** What is run; by default the program that prints the environment and every file. */
  run?: Run;
  /** Variables given to the run. */
  variables?: Record<string, string>;
  /** Options for `docker run` that make its side more like a job. */
  dockerOptions?: string[];
  /** Whether to run in the image's WORKDIR and not in the project. */
  inImageDirectory?: boolean;
  /** Whether HOME is given by the image or the run, so that it is the same on both sides. */
  setsHome?: boolean;
  differences?: KnownDifference[];
}

const show = { kind: 'image' } as const;
const sh = (script: string): Run => ({ kind: 'command', argv: ['sh', '-c', script] });

const awkward = [
  ...['two words', "it's", '"double"', '$HOME', '$(id)', '`id`', 'a,b', '(x)', '*', '~', '', '-n', '\\', 'back\\slash'],
  ...['line\nbreak', 'tab\t', '{a,b}', '#not a comment', '%s', 'Grüße ☃', '!', ';', '&&', '${HOME}', 'a\r\nb'],
];

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Differs in every run that prints its environment. The HOME of a job is a directory of its own; Docker's is `/` where the image's passwd does not know the user. */
export const ownHome = known('HOME', 'variable HOME', '/', '/home/researcher');

const commands: DifferentialCase[] = [
  { title: 'ENTRYPOINT and CMD', dockerfile: 'ENTRYPOINT ["show", "a"]\nCMD ["b c"]', run: show },
  { title: 'ENTRYPOINT alone', dockerfile: 'ENTRYPOINT ["show", "a"]', run: show },
  { title: 'CMD alone', dockerfile: 'CMD ["show", "b"]', run: show },
  { title: 'CMD as a shell command', dockerfile: 'CMD show "$PATH" * | tr a b', run: show },
  {
    title: 'ENTRYPOINT as a shell command, which takes no arguments',
    dockerfile: 'ENTRYPOINT show "$0" "$@"\nCMD ["x"]',
    run: show,
  },
  {
    title: 'a command in place of CMD',
    dockerfile: 'ENTRYPOINT ["show"]\nCMD ["b"]',
    run: { kind: 'command', argv: awkward },
  },
  {
    title: 'CMD with every kind of character',
    dockerfile: `CMD ${JSON.stringify(['show', ...awkward])}`,
    run: show,
  },
  {
    title: 'SHELL',
    dockerfile: 'SHELL ["/bin/sh", "-f", "-c"]\nCMD show * $-',
    run: show,
  },
  {
    title: 'an interpreter as ENTRYPOINT, and a script',
    dockerfile: 'ENTRYPOINT ["sh"]',
    run: { kind: 'script', path: 'script.sh', args: ['a b', ''], dockerArgv: ['script.sh', 'a b', ''] },
  },
  {
    title: 'a script of the project that names its interpreter',
    run: { kind: 'command', argv: ['./program', 'a b'] },
    differences: [known(undefined, 'output', './program a b\n', '/workspace/program a b\n')],
  },
  {
    title: 'no shell in the image',
    from: 'scratch',
    dockerfile: 'COPY --from=BUSYBOX /bin/busybox /echo\nCMD ["/echo", "a b"]',
    run: show,
  },
  { title: 'a path relative to the PATH', run: { kind: 'command', argv: ['busybox', 'echo', 'x'] } },
];

const exits: DifferentialCase[] = [
  ...[0, 1, 42, 126, 127, 255].map((status) => ({ title: `exit ${status}`, run: sh(`echo out; exit ${status}`) })),
  { title: 'a program that is not there', run: { kind: 'command', argv: ['no-such-program'] } },
  { title: 'a path that is not there', run: { kind: 'command', argv: ['/no/such/program'] } },
  { title: 'a link to nowhere', run: { kind: 'command', argv: ['./broken-link'] } },
  { title: 'an empty command', run: { kind: 'command', argv: [''] } },
  { title: 'a file that is not executable', run: { kind: 'command', argv: ['./script.sh'] } },
  { title: 'a directory', run: { kind: 'command', argv: ['./directory'] } },
  {
    title: 'a program that is not executable, on the PATH',
    dockerfile: 'ENV PATH=/workspace:/bin',
    run: { kind: 'command', argv: ['script.sh'] },
  },
  // Docker's first process is init, which signals from inside do not kill.
  ...['TERM', 'KILL', 'SEGV'].map((signal) => ({
    title: `killed by SIG${signal}`,
    dockerOptions: ['--init'],
    run: sh(`echo out; kill -${signal} $$`),
  })),
  { title: 'a child killed by a signal', run: sh("sh -c 'kill -KILL $$'; exit $?") },
  { title: 'nothing on standard input', run: sh('wc -c') },
];

const environments: DifferentialCase[] = [
  {
    title: 'ENV with quotes',
    dockerfile: `ENV DOUBLE='say "x"' SINGLE="it's" BOTH="\\"it's\\"" MANY="''''"`,
  },
  {
    title: 'ENV with what a shell would run',
    dockerfile: `ENV DOLLAR='$HOME \${HOME}' COMMAND='$(id)' TICKS='\`id\`' PAREN='(a) [b] {c,d}' COMMA=a,b MORE='; exit 1 & | > x * ? ~ ! # \\\\ %s'`,
  },
  {
    title: 'ENV with line breaks and control characters',
    dockerfile: 'ARG A\nARG B\nARG C\nENV LINES=$A CRLF=$B CONTROL=$C',
    buildArgs: { A: 'a\nb\n', B: '\r\na\r\n\r', C: '\t\u001b[1m\u0001\u007f' },
  },
  { title: 'ENV that is empty, and ENV beyond ASCII', dockerfile: 'ENV EMPTY= SPACES="  a  " UNICODE="Grüße ☃ 😀"' },
  { title: 'ENV PATH', dockerfile: 'RUN mkdir /own && cp /bin/show /own/own-show\nENV PATH=/own:/bin' },
  {
    title: 'a program in ENV PATH',
    dockerfile: 'RUN mkdir /own && cp /bin/show /own/own-show\nENV PATH=/own:/bin\nCMD ["own-show"]',
    run: show,
  },
  { title: 'ENV HOME', dockerfile: 'RUN mkdir -m 777 /own\nENV HOME=/own', setsHome: true },
  { title: 'ENV LANG', dockerfile: 'ENV LANG=de_DE.UTF-8 LC_ALL=C' },
  { title: 'ENV LD_LIBRARY_PATH', dockerfile: 'ENV LD_LIBRARY_PATH=/opt/lib' },
  { title: 'ENV that shells use', dockerfile: 'ENV IFS=: ENV=/nonexistent CDPATH=/ OPTIND=5 PS4=x TMPDIR=/var/tmp' },
  {
    title: 'ENV that only Docker can set',
    dockerfile: 'ENV UID=1000 GID=1000 KEPT=1',
    differences: [
      known('ENV_NAMES', 'variable GID', '1000', undefined),
      known('ENV_NAMES', 'variable UID', '1000', undefined),
    ],
  },
  {
    title: 'ENV with a name that no shell knows',
    dockerfile: 'ENV my.var=1',
    run: { kind: 'command', argv: ['grep', '-c', 'my.var', '/proc/self/environ'] },
    differences: [known('ENV_NAMES', 'exit code', '0', '1'), known('ENV_NAMES', 'output', '1\n', '0\n')],
  },
  {
    title: 'variables of the run over ENV',
    dockerfile: 'ENV A=image LD_LIBRARY_PATH=/image',
    setsHome: true,
    variables: { A: 'run', B: awkward.join(' '), EMPTY: '', HOME: '/workspace', LD_LIBRARY_PATH: '/run', CRLF: '\r\n' },
  },
  { title: 'an image that sets nothing', changes: [] },
  {
    title: 'ARG, and a stage that is left behind',
    dockerfile: 'ARG KEPT=no\nRUN echo "$KEPT" >/build\nFROM BUSYBOX\nCOPY --from=0 /build /kept\nENV STAGE=2',
  },
  { title: 'LABEL', dockerfile: `LABEL a="it's" b="line\\nbreak" org.example.c='"'` },
];

const places: DifferentialCase[] = [
  { title: 'WORKDIR', dockerfile: 'WORKDIR /a/b', inImageDirectory: true },
  {
    title: 'WORKDIR, relative',
    dockerfile: 'WORKDIR /a\nWORKDIR b c',
    inImageDirectory: true,
    run: { kind: 'command', argv: ['show'] },
  },
  { title: 'WORKDIR that is not in the image', changes: ['WORKDIR /made/by/docker'], inImageDirectory: true },
  {
    title: 'WORKDIR with a file of its own',
    dockerfile: 'WORKDIR /app\nRUN echo x >file\nCMD cat file',
    inImageDirectory: true,
    run: show,
  },
  {
    title: 'USER by name',
    dockerfile: 'RUN echo app:x:1000:1000::/app:/bin/sh >/etc/passwd && mkdir /app && chown 1000 /app\nUSER app',
  },
  {
    title: 'USER by number, and a directory of that user alone',
    dockerfile: 'RUN mkdir -m 700 /app && chown 1000:1000 /app\nUSER 1000:1000',
    differences: [known('ROOT_FILES', 'content of /app', 'unreadable', '')],
  },
  {
    title: "the cluster's user in the image's passwd",
    dockerfile: 'RUN echo someone:x:1500:1500::/own:/bin/sh >/etc/passwd && mkdir /own && chown 1500 /own',
    differences: [known('HOME', 'variable HOME', '/own', '/home/researcher')],
  },
  {
    title: 'the name of the user',
    run: sh('id -u; id -g; id -un'),
    differences: [
      known('NOT_ROOT', 'exit code', '1', '0'),
      known('NOT_ROOT', 'output', '1500\n1500\n1500\n', '1500\n1500\nresearcher\n'),
    ],
  },
  { title: 'umask', run: sh('umask; touch file; mkdir made; stat -c "%a" file made') },
  {
    title: '/tmp',
    run: sh('for d in /tmp /var/tmp /dev/shm; do stat -c "%a" $d; echo x >$d/file && cat $d/file; done'),
  },
  {
    title: 'a directory that everybody may write to',
    dockerfile: 'RUN mkdir -m 1777 /open /open/sub',
    run: sh('cd /open && echo x >file && cat file && mkdir made && rm -r made'),
  },
  {
    title: 'a file of the image that everybody may write to',
    dockerfile: 'RUN echo a >/file && chmod 666 /file',
    run: sh('echo b >>/file && cat /file'),
  },
  {
    title: 'a directory that only root may write to',
    run: sh('echo x >/etc/new && cat /etc/new'),
    differences: [known('READ_ONLY', 'exit code', '1', '0'), known('READ_ONLY', 'output', '', 'x\n')],
  },
  {
    title: 'more than 64 MB outside of /tmp and HOME',
    dockerfile: 'RUN mkdir -m 777 /open',
    run: sh('dd if=/dev/zero of=/open/file bs=1M count=80 2>/dev/null && echo written'),
    differences: [known('READ_ONLY', 'exit code', '0', '1'), known('READ_ONLY', 'output', 'written\n', '')],
  },
  {
    title: 'more than 64 MB in /tmp',
    run: sh('dd if=/dev/zero of=/tmp/file bs=1M count=80 2>/dev/null && echo written'),
  },
];

const files: DifferentialCase[] = [
  {
    title: 'VOLUME, empty',
    dockerfile: 'RUN mkdir -m 777 /data\nVOLUME /data',
    run: sh('ls -A /data; echo x >/data/file && cat /data/file'),
  },
  {
    title: 'VOLUME, empty, that only root may write to',
    dockerfile: 'RUN mkdir /data\nVOLUME /data',
    run: sh('ls -A /data; echo x >/data/file && cat /data/file'),
    differences: [known('VOLUME', 'exit code', '1', '0'), known('VOLUME', 'output', '', 'x\n')],
  },
  { title: 'VOLUME with content', dockerfile: 'RUN mkdir /data && echo x >/data/file\nVOLUME /data' },
  {
    title: 'VOLUME that is not in the image',
    changes: ['VOLUME ["/made/by docker"]'],
    run: sh('ls -A "/made/by docker"; test -d "/made/by docker"'),
  },
  {
    title: 'long names',
    dockerfile: `RUN cd / && for i in 1 2 3 4 5; do mkdir ${'d'.repeat(120)} && cd ${'d'.repeat(120)}; done && echo deep >${'f'.repeat(255)} && ln -s ${'t'.repeat(300)} link`,
  },
  {
    title: 'odd names',
    dockerfile: `RUN mkdir /odd && cd /odd && for n in 'a b' "it's" '"' ' ' '-dash' '\\back\\slash' '*' '$HOME' 'é☃' '.hidden' 'tab\t'; do echo "$n" >"./$n"; done && touch "new$(printf '\\nx')line" && mkdir 'dir with blank' && touch 'dir with blank/x'`,
  },
  {
    title: 'names that are not UTF-8',
    dockerfile: `RUN mkdir /odd && cd /odd && touch "$(printf 'latin1-\\344\\366\\374')" "$(printf '\\377\\376')" && ln -s "$(printf '\\344')" "$(printf 'link-\\344')"`,
  },
  {
    title: 'hard links in a layer',
    dockerfile: 'RUN mkdir /a /b && echo x >/a/file && ln /a/file /b/file && ln /a/file /a/again',
  },
  {
    title: 'a hard link to a file of a lower layer',
    dockerfile: 'RUN mkdir /a && echo x >/a/file\nRUN ln /a/file /a/again && echo y >/a/other',
  },
  {
    title: 'symlinks',
    dockerfile:
      'RUN mkdir /l && cd /l && ln -s /bin/sh absolute && ln -s ../bin/show relative && ln -s nowhere broken && ln -s . self && ln -s loop loop && ln -s /etc etc',
  },
  { title: 'deleted files', dockerfile: 'RUN mkdir /d /d/e && touch /d/a /d/b /d/e/c\nRUN rm /d/a && rm -r /d/e' },
  {
    title: 'a directory that is made anew',
    dockerfile: 'RUN mkdir /d && touch /d/old\nRUN rm -r /d && mkdir /d && touch /d/new',
  },
  {
    title: 'a directory in place of a file, and the reverse',
    dockerfile:
      'RUN mkdir /d /l && touch /d/x /l/x /f\nRUN rm -r /d /l /f && echo now a file >/d && ln -s /bin /l && mkdir /f && touch /f/x',
  },
  {
    title: 'many layers',
    dockerfile: Array.from(
      { length: 12 },
      (_, index) => `RUN echo ${index} >>/log && touch /file-${index} && rm -f /file-${index - 2}`,
    ).join('\n'),
  },
  {
    title: 'sticky and other modes',
    dockerfile:
      'RUN mkdir -m 1777 /sticky && mkdir -m 555 /sealed && mkdir -m 2775 /group && touch /x && chmod 111 /x && touch /w && chmod 222 /w && touch /none && chmod 000 /none',
  },
  {
    title: "root's files",
    dockerfile: 'RUN echo secret >/secret && chmod 600 /secret && mkdir -m 700 /private && mkdir /private/empty',
    differences: [
      known('ROOT_FILES', 'content of /private', 'unreadable', ''),
      known('ROOT_FILES', 'content of /secret', 'unreadable', sha256('secret\n')),
      known('ROOT_FILES', 'file /private/empty', undefined, 'directory'),
    ],
  },
  {
    title: 'modes of setuid programs',
    dockerfile: 'RUN touch /u /g && chmod 4711 /u && chmod 2755 /g',
    differences: [known('ROOT_FILES', 'content of /u', 'unreadable', sha256(''))],
  },
  { title: 'pipes', dockerfile: 'RUN mkfifo /pipe && chmod 644 /pipe' },
  {
    title: 'files where Apptainer keeps its own',
    dockerfile:
      'RUN mkdir -p /.singularity.d/env && echo "export LEAK=1" >/.singularity.d/env/50-own.sh && echo x >/environment && ln -s environment /singularity',
  },
  {
    title: 'content in /tmp',
    dockerfile: 'RUN echo x >/tmp/file',
    run: sh('ls -A /tmp'),
    differences: [known('TMP', 'output', 'file\n', '')],
  },
];

// These take the longest, and so go first.
const large: DifferentialCase[] = [
  { title: 'a sparse file of 5 GB', dockerfile: 'RUN truncate -s 5G /sparse && echo end >>/sparse' },
  {
    title: 'Debian with Python, and a script',
    from: debianImage,
    dockerfile:
      "ENV PYTHONUSERBASE=/opt/user\nRUN d=$(python3 -m site --user-site) && mkdir -p $d && echo 'word = 42' >$d/own_module.py",
    run: { kind: 'script', path: 'script.py', args: ['a b'], dockerArgv: ['python3', 'script.py', 'a b'] },
  },
  {
    title: 'setuid',
    from: debianImage,
    dockerfile: 'RUN cp /usr/bin/id /usr/bin/id-of-root && chmod 4755 /usr/bin/id-of-root',
    run: { kind: 'command', argv: ['id-of-root', '-u'] },
    differences: [known('SETUID', 'output', '0\n', '1500\n')],
  },
  {
    title: 'a file capability',
    from: debianImage,
    // CAP_DAC_OVERRIDE, effective and permitted, as setcap would write it (linux/capability.h, vfs_cap_data).
    dockerfile: `RUN cp /usr/bin/grep /usr/bin/mighty && python3 -c "import os; \\
  os.setxattr('/usr/bin/mighty', 'security.capability', bytes.fromhex('0100000202' + 30 * '0'))"`,
    run: { kind: 'command', argv: ['mighty', '-o', 'CapEff.*', '/proc/self/status'] },
    differences: [
      known('CAPABILITIES', 'output', `CapEff:\t${'2'.padStart(16, '0')}\n`, `CapEff:\t${'0'.repeat(16)}\n`),
    ],
  },
];

/** Every row is run by Docker and by a job, and both must show the same. */
export const cases: DifferentialCase[] = [...large, ...commands, ...exits, ...environments, ...places, ...files];
