import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { resolveDirectories } from '../config/directories.js';
import { packageVersion } from '../package-directory.js';
import { readCachedCode, writeCachedCode } from './code-cache.js';
import type { main } from './main.js';

/** Filled in by scripts/bundle.mjs: the digest of main.cjs. */
declare const mainDigest: string;

/**
 * Runs one command line and returns the exit status, with the machine code's forerunner that V8 made of the program at an earlier
 * command: compiling it anew takes longer than most commands do.
 */
export async function start(argv: string[]): Promise<number> {
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
    process.stdout.write(`${packageVersion()}\n`);
    return 0;
  }
  const { cache } = resolveDirectories(process.env);
  const name = `${mainDigest}-node-${process.version}-${process.arch}`;
  const path = join(cache, 'code', name);
  const known = await readCachedCode(path);

  const filename = fileURLToPath(new URL('main.cjs', import.meta.url));
  const script = new Script(
    `(function (exports, require, module, __filename, __dirname) {${readFileSync(filename, 'latin1')}\n})`,
    { filename, ...(known ? { cachedData: known.data } : {}) },
  );
  const module = { exports: {} as { main: typeof main } };
  const evaluate = script.runInThisContext() as (...names: unknown[]) => void;
  evaluate(module.exports, createRequire(filename), module, filename, dirname(filename));
  const status = await module.exports.main(argv);

  const commands = known && script.cachedDataRejected !== true ? known.commands : [];
  const command = argv[0] ?? '';
  // What a command has not used before was compiled just now, and need not be the next time. Mistakes need no speed.
  if (status === 0 && /^[a-z-]+$/.test(command) && !commands.includes(command)) {
    try {
      await writeCachedCode(path, { commands: [...commands, command], data: script.createCachedData() });
    } catch (error) {
      // A full disk, a directory of somebody else's: the next command is as fast as this one, no more.
      if (!(error instanceof Error && 'syscall' in error)) throw error;
    }
  }
  return status;
}
