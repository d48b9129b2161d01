// Joins the compiled command line with its libraries into a few files: reading two hundred modules one by one takes longer
// than most commands do.
import { build } from 'esbuild';
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const compiled = (name) => at(`dist/src/cli/${name}.js`);

const shared = {
  outdir: at('dist/cli'),
  bundle: true,
  minifyWhitespace: true,
  platform: 'node',
  target: 'node20',
  // Native parts of ssh2's that are optional, and not built.
  external: ['cpu-features', '*.node'],
  logLevel: 'warning',
};

// Names change with the content: those of an earlier build would stay.
rmSync(at('dist/cli'), { recursive: true, force: true });

// All commands, as one script: of such, V8 can be given what it made of it before (src/cli/start.ts).
await build({
  ...shared,
  entryPoints: [compiled('main')],
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  charset: 'ascii',
  define: { 'import.meta.url': 'hpcrunUrl' },
  banner: { js: "const hpcrunUrl = require('node:url').pathToFileURL(__filename).href;" },
});
const mainDigest = createHash('sha256')
  .update(readFileSync(at('dist/cli/main.cjs')))
  .digest('hex')
  .slice(0, 16);

// Processes of their own. CommonJS libraries among them expect these names.
const commonJs = `import { createRequire as hpcrunRequire } from 'node:module';
import { dirname as hpcrunDirname } from 'node:path';
import { fileURLToPath as hpcrunFilename } from 'node:url';
const require = hpcrunRequire(import.meta.url), __filename = hpcrunFilename(import.meta.url), __dirname = hpcrunDirname(__filename);`;
await build({
  ...shared,
  entryPoints: ['start', 'connection-holder', 'askpass'].map(compiled),
  splitting: true,
  format: 'esm',
  define: { mainDigest: JSON.stringify(mainDigest) },
  banner: { js: commonJs },
});
