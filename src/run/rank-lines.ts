import { HpcrunError } from '../errors.js';
import { processesPerNode } from '../slurm/tasks.js';
import type { RunRecord } from './record.js';

/** hpcrun's own templates whose output is that of one process. */
const withoutRanks = ['single', 'array', 'chain', 'service', 'shell'];

/** `--rank`. Throws USAGE for what is no rank, and for a run that has none. */
export function parseRank(text: string, { template, runId }: RunRecord): number {
  if (withoutRanks.includes(template)) {
    throw new HpcrunError('USAGE', `run ${runId} has no ranks: it is a job of the template ${template}`, {
      hint: 'Leave out --rank.',
    });
  }
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new HpcrunError('USAGE', `--rank "${text}" is not a number`, { hint: '--rank 0 is the first.' });
}

/**
 * The lines of one rank out of the output of all, without their marks: `3: ` from srun (man page, --label), and for several
 * processes a node ` [default1]:` from torchrun (--tee).
 */
export class RankLines {
  private rest: Buffer = Buffer.alloc(0);
  private readonly mark: RegExp;

  constructor(rank: number, { template, resources }: RunRecord) {
    const perNode = template === 'torchrun' ? processesPerNode(resources) : 1;
    const task = Math.floor(rank / perNode);
    this.mark = new RegExp(`^ *0*${task}: ${perNode > 1 ? `\\[default${rank % perNode}\\]:` : ''}`);
  }

  /** What of the chunk, and of the beginning of its first line before, belongs to the rank; its last line comes when it is complete. */
  push(chunk: Buffer): Buffer {
    const all = Buffer.concat([this.rest, chunk]);
    const end = all.lastIndexOf(0x0a) + 1;
    this.rest = all.subarray(end);
    // One byte is one character here, so that nothing is changed.
    const lines = all.subarray(0, end).toString('latin1').split('\n').slice(0, -1);
    return this.select(lines.map((line) => `${line}\n`));
  }

  /** What is left of a last line without an end. */
  end(): Buffer {
    const last = this.rest.toString('latin1');
    this.rest = Buffer.alloc(0);
    return this.select([last]);
  }

  private select(lines: string[]): Buffer {
    const own = lines.filter((line) => this.mark.test(line)).map((line) => line.replace(this.mark, ''));
    return Buffer.from(own.join(''), 'latin1');
  }
}
