import { decodeSketch, sketchBytes, type Sketch } from './chunk-index.js';
import { surveyLine } from './image-scripts.js';

/** What is on the far side of an image that is to be sent, and of others. */
export interface Survey {
  isPresent: boolean;
  /** Who is sending it just now: lines of locks. */
  locks: string[];
  /** Whether the far side can write blocks where they belong; otherwise it can only append. */
  hasBlocks: boolean;
  /** Of an earlier attempt. */
  plan: string | undefined;
  /** Blocks that have arrived. */
  done: Set<number>;
  arrivedBytes: number;
  /** Lines of other commands. */
  rest: string;
  sketches: ImageSketch[];
}

export interface ImageSketch {
  /** sha256. */
  image: string;
  sketch: Sketch;
}

const nameBytes = 64;

/** Pure: what the survey printed. */
export function parseSurvey(output: Buffer): Survey {
  const end = output.indexOf(`${surveyLine.sketches}\n`);
  const lines = output.toString('utf8', 0, end === -1 ? output.length : end).split('\n');
  const after = (prefix: string) =>
    lines.flatMap((line) => (line.startsWith(prefix) ? [line.slice(prefix.length)] : []));
  const plan = after(surveyLine.plan);
  const known = Object.values(surveyLine);
  return {
    isPresent: lines.includes(surveyLine.present),
    locks: after(surveyLine.busy),
    hasBlocks: lines.includes(surveyLine.blocks),
    plan: plan.length === 0 ? undefined : `${plan.join('\n')}\n`,
    done: new Set(after(surveyLine.done).map(Number)),
    arrivedBytes: Number(after(surveyLine.arrived)[0] ?? 0),
    rest: lines.filter((line) => !known.some((prefix) => line.startsWith(prefix))).join('\n'),
    sketches: end === -1 ? [] : parseSketches(output.subarray(end + surveyLine.sketches.length + 1)),
  };
}

function parseSketches(records: Buffer): ImageSketch[] {
  const sketches: ImageSketch[] = [];
  const length = nameBytes + sketchBytes;
  for (let at = 0; at + length <= records.length; at += length) {
    const image = records.toString('latin1', at, at + nameBytes);
    const sketch = decodeSketch(records.subarray(at + nameBytes, at + length));
    if (sketch && /^[0-9a-f]{64}$/.test(image)) sketches.push({ image, sketch });
  }
  return sketches;
}
