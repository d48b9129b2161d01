// Joins the compiled command line with its libraries into a few files: reading two hundred modules one by one takes longer
// than most commands do. What a command does not need stays in files of its own and is not read.
import { build } from 'esbuild';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

// CommonJS libraries among them expect these names.
const commonJs = `import { createRequire as hpcrunRequire } from 'node:module';
import { dirname as hpcrunDirname } from 'node:path';
import { fileURLToPath as hpcrunFilename } from 'node:url';
const require = hpcrunRequire(import.meta.url), __filename = hpcrunFilename(import.meta.url), __dirname = hpcrunDirname(__filename);`;

// Names change with the content: those of an earlier build would stay.
rmSync(at('dist/cli'), { recursive: true, force: true });
await build({
  entryPoints: ['main', 'connection-holder', 'askpass'].map((name) => at(`dist/src/cli/${name}.js`)),
  outdir: at('dist/cli'),
  bundle: true,
  minifyWhitespace: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Native parts of ssh2's that are optional, and not built.
  external: ['cpu-features', '*.node'],
  banner: { js: commonJs },
  logLevel: 'warning',
});
