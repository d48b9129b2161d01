/** `npm run bench -- NAME`: side-by-side measurements; docs/benchmarks.md says how they are made and read. */
import { benchConvert } from './convert.js';
import { benchLatency } from './latency.js';
import { benchSlurm } from './slurm.js';
import { benchTransfer } from './transfer.js';

const benches: Record<string, (args: string[]) => Promise<void>> = {
  convert: benchConvert,
  transfer: benchTransfer,
  latency: benchLatency,
  slurm: benchSlurm,
};

const [name = '', ...args] = process.argv.slice(2);
const bench = benches[name];
if (bench) await bench(args);
else {
  process.stderr.write(`npm run bench -- ${Object.keys(benches).join(' | ')}\n`);
  process.exitCode = 2;
}
