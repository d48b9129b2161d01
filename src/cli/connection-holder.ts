/** The process that holds a connection for `hpcrun connect`, which starts it and gives it its settings on standard input. */
import { text } from 'node:stream/consumers';
import type { HolderSettings } from '../ssh/sharing/messages.js';
import { holdConnection } from '../ssh/sharing/hold-connection.js';

const settings = JSON.parse(await text(process.stdin)) as HolderSettings;
await holdConnection(settings, process.env, () => {
  // Nobody reads on after this line.
  process.stdout.on('error', () => undefined);
  process.stdout.write('ready\n');
});
process.exit(0);
