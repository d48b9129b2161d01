import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { noPrompter } from '../../src/ssh/prompter.js';
import { expandProxyCommand, openProxyCommand } from '../../src/ssh/proxy-command.js';
import { makeTemporaryDirectory } from '../support/temporary-directory.js';

const names = { alias: 'gate', host: 'gate.example.org', port: 2222, user: 'ada' };

describe('expandProxyCommand', () => {
  it.each([
    ['nc %h %p', 'nc gate.example.org 2222'],
    ['x %r@%n 100%%', 'x ada@gate 100%'],
    ['plain', 'plain'],
  ])('%s', (command, expected) => {
    expect(expandProxyCommand(command, names)).toBe(expected);
  });

  it.each(['x %z', 'x %'])('refuses %s', (command) => {
    expect(() => expandProxyCommand(command, names)).toThrow('unknown token');
  });
});

describe('openProxyCommand', () => {
  const open = (command: string, told: string[] = []) =>
    openProxyCommand(names, command, {
      env: process.env,
      prompter: { ...noPrompter, tell: (line) => void told.push(line) },
    });

  it('is a stream to what the command reads and writes, and shows what it says', async () => {
    const told: string[] = [];
    const stream = open('sh -c "echo open a page >&2; tr a-z A-Z"', told);
    stream.end('through\n');
    expect(await text(stream)).toBe('THROUGH\n');
    expect(told).toEqual(['open a page']);
  });

  it('fails with the status and the words of a command that fails', async () => {
    await expect(text(open('sh -c "echo no route >&2; exit 3"'))).rejects.toThrow(/status 3: no route/);
    await expect(text(open('/nonexistent/program'))).rejects.toThrow(/status 12[67]/);
  });

  it('ends with the stream', async () => {
    const file = join(await makeTemporaryDirectory(), 'ended');
    const stream = open(`sh -c 'trap "echo ended >${file}; exit" HUP; echo ready; while :; do sleep 0.1; done'`);
    await new Promise((resolve) => stream.once('data', resolve));
    stream.destroy();
    const ended = () => readFile(file, 'utf8').catch(() => '');
    while ((await ended()) === '') await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await ended()).toBe('ended\n');
  });

  it('keeps nothing of what the command has left running', async () => {
    const handles = () => process.getActiveResourcesInfo().filter((name) => /^(Pipe|Process)Wrap$/.test(name)).length;
    const before = handles();
    const stream = open("sh -c '(trap : HUP; exec sleep 300) & echo $!; wait'");
    const pid = await new Promise<string>((resolve) => stream.once('data', resolve));
    expect(handles()).toBeGreaterThan(before);
    stream.destroy();
    while (handles() > before) await new Promise((resolve) => setTimeout(resolve, 20));
    // Ended by nobody else.
    process.kill(Number(pid), 'SIGKILL');
  });
});
