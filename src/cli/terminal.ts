import type { Ora } from 'ora';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { HpcrunError, interrupted } from '../errors.js';
import { formatDuration, type Progress, type Step } from '../progress.js';
import { noPrompter, type Prompter } from '../ssh/prompter.js';
import { printable } from '../ssh/terminal-text.js';

/** Progress and questions on stderr: a spinner and prompts in a terminal, plain lines elsewhere. */
export class Terminal implements Progress {
  private spinner: Ora | undefined;
  private readonly isInteractive: boolean;
  /** Whether there is somebody to answer. */
  readonly canAsk: boolean;
  readonly prompter: Prompter;

  constructor(
    private readonly options: { quiet: boolean; input: boolean; env: NodeJS.ProcessEnv; signal: AbortSignal },
  ) {
    const { env } = options;
    // A terminal without a width, as some tools make them, cannot be drawn on.
    this.isInteractive =
      process.stderr.isTTY &&
      process.stderr.columns > 0 &&
      env.TERM !== 'dumb' &&
      env.CI === undefined &&
      !options.quiet;
    this.canAsk = options.input && process.stdin.isTTY && process.stderr.isTTY;
    const { ask, tell } = this;
    const asking = {
      ask,
      tell,
      get columns() {
        return process.stderr.columns;
      },
    };
    // Where nobody can be asked, what a server wants done elsewhere is still shown; its banner would be in the way of other programs.
    const showing: Prompter = {
      ...noPrompter,
      tell: (text, how) => {
        if (how?.isNotice !== true) tell(text);
      },
    };
    this.prompter = this.canAsk ? asking : showing;
  }

  step(title: string): Step {
    return this.isInteractive ? this.spinningStep(title) : this.plainStep(title);
  }

  note(text: string): void {
    if (!this.options.quiet) this.print(text);
  }

  warn(text: string): void {
    this.print(`warning: ${text}`);
  }

  private spinningStep(title: string): Step {
    const startedAt = Date.now();
    const colour = this.options.env.NO_COLOR === undefined;
    let text = title;
    let isOver = false;
    // Loaded beside the work: many a command is done before there is anything to turn.
    void import('ora').then(({ default: ora }) => {
      if (isOver) return;
      // Ctrl-C and typed text are the caller's, not the spinner's.
      const options = { stream: process.stderr, color: colour ? 'cyan' : false, discardStdin: false } as const;
      this.spinner = ora({ ...options, text }).start();
    });
    const show = (detail: string) => {
      const room = (process.stderr.columns || 80) - title.length - 6;
      text = room > 10 ? `${title}  ${detail.slice(0, room)}` : title;
      if (this.spinner) this.spinner.text = text;
    };
    const end = (finish: (spinner: Ora) => void, plain: () => void) => {
      const { spinner } = this;
      isOver = true;
      this.spinner = undefined;
      if (spinner) finish(spinner);
      else plain();
    };
    return {
      update: show,
      output: (line) => {
        show(stripVTControlCharacters(line).trim());
      },
      succeed: (summary) => {
        const ended = `${summary}${took(startedAt)}`;
        end(
          (spinner) => spinner.succeed(ended),
          () => {
            this.note(ended);
          },
        );
      },
      fail: () => {
        end(
          (spinner) => spinner.fail(title),
          () => undefined,
        );
      },
    };
  }

  private plainStep(title: string): Step {
    const startedAt = Date.now();
    // Work that ends at once needs no line for its beginning.
    const timer = setTimeout(() => {
      this.note(`${title} …`);
    }, 1000);
    timer.unref();
    return {
      update: () => undefined,
      output: () => undefined,
      succeed: (summary) => {
        clearTimeout(timer);
        this.note(`${summary}${took(startedAt)}`);
      },
      fail: () => {
        clearTimeout(timer);
      },
    };
  }

  private print(text: string): void {
    this.spinner?.stop();
    // Much of it comes from the cluster, which has no say in what the terminal does.
    process.stderr.write(`${printable(text)}\n`);
    this.spinner?.start();
  }

  private readonly tell = (text: string): void => {
    this.print(text);
  };

  private readonly ask: Prompter['ask'] = async (question, { secret, signal }) => {
    if (signal?.aborted || this.options.signal.aborted) throw interrupted();
    this.spinner?.stop();
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        if (!secret) process.stderr.write(chunk);
        done();
      },
    });
    const reader = createInterface({ input: process.stdin, output, terminal: true });
    // Only now, when the terminal itself no longer shows what is typed.
    process.stderr.write(printable(question));
    try {
      return await new Promise<string>((resolve, reject) => {
        reader.once('line', resolve);
        reader.once('SIGINT', () => {
          reject(interrupted());
        });
        reader.once('close', () => {
          reject(new HpcrunError('INPUT_NEEDED', 'no answer was given', { hint: 'Run the command again and answer.' }));
        });
        const onAbort = () => {
          reject(interrupted());
        };
        this.options.signal.addEventListener('abort', onAbort, { once: true });
        signal?.addEventListener('abort', onAbort, { once: true });
      });
    } finally {
      reader.close();
      if (secret) process.stderr.write('\n');
      this.spinner?.start();
    }
  };
}

function took(startedAt: number): string {
  const seconds = (Date.now() - startedAt) / 1000;
  if (seconds < 1) return '';
  return seconds < 60 ? `  ${seconds.toFixed(1)} s` : `  ${formatDuration(seconds)}`;
}
