// Draws docs/demo.svg from a real run: node docs/draw-run.mjs (needs `npm run build`, a running sandbox and examples/digits).
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../examples/digits', import.meta.url));
const hpcrun = fileURLToPath(new URL('../bin/hpcrun.js', import.meta.url));
const commands = [
  ['submit', '--gpus', '1', '--wait', 'train.py', '--epochs', '4'],
  ['status', '-n', '1'],
  ['pull-results'],
];

const lines = [];
for (const args of commands) {
  lines.push({ text: `$ hpcrun ${args.join(' ')}`, kind: 'command' });
  // Both streams into one, as a terminal shows them.
  const { stdout } = spawnSync('sh', ['-c', '"$@" 2>&1', 'sh', hpcrun, ...args], { cwd: project, encoding: 'utf8' });
  for (const text of stdout.trimEnd().split('\n')) lines.push({ text, kind: 'output' });
}
lines.push({ text: '$ ls hpcrun-results/*', kind: 'command' });
const listing = execFileSync('sh', ['-c', 'ls "hpcrun-results/$(ls hpcrun-results | tail -n 1)"'], {
  cwd: project,
  encoding: 'utf8',
});
lines.push({ text: listing.trim().split('\n').join('  '), kind: 'output' });

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
const width = 36 + Math.max(...lines.map(({ text }) => text.length)) * 7.85;
const height = 24 + lines.length * 19;
const rows = lines.map(
  ({ text, kind }, index) =>
    `<text x="14" y="${26 + index * 19}" fill="${kind === 'command' ? '#7ee787' : '#d0d7de'}" xml:space="preserve">${escape(text)}</text>`,
);
writeFileSync(
  new URL('demo.svg', import.meta.url),
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${Math.ceil(width)} ${height}" width="${Math.ceil(width)}" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13">
<rect width="100%" height="100%" rx="8" fill="#161b22"/>
${rows.join('\n')}
</svg>
`,
);
