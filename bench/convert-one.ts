/** Converts one image in a process of its own, so that its memory can be measured: `convert-one.js IMAGE OUT.sif`. */
import { convertImage } from '../src/image/convert.js';
import { CliEngine } from '../src/image/cli-engine.js';

const [image = '', output = ''] = process.argv.slice(2);
const signal = new AbortController().signal;
const engine = new CliEngine('docker');
const info = await engine.inspect(image, { signal });
if (!info) throw new Error(`there is no image ${image}`);
await convertImage(engine, info, output, { compression: 'zstd', permissions: 'open', signal });
