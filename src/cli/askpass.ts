import { connect } from 'node:net';
import type { AskpassQuestion } from '../ssh/askpass.js';

// OpenSSH starts this program with its question and reads the answer from standard output. It passes both between OpenSSH and
// the hpcrun that started it; that one knows whether anybody can be asked, and how.
const { HPCRUN_ASKPASS_SOCKET: socket = '', SSH_ASKPASS_PROMPT: hint } = process.env;
const question: AskpassQuestion = {
  prompt: process.argv[2] ?? '',
  hint: hint === 'confirm' || hint === 'none' ? hint : undefined,
};
const client = connect(socket, () => client.write(`${JSON.stringify(question)}\n`));
let received = '';
client.setEncoding('utf8');
client.on('data', (text: string) => {
  received += text;
});
client.on('error', () => {
  process.exitCode = 1;
});
client.on('end', () => {
  if (received === '') process.exitCode = 1;
  else process.stdout.write(`${(JSON.parse(received) as { answer: string }).answer}\n`);
});
