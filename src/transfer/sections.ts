/** A contiguous part of a large file: it travels in one piece and has a sha256 of its own. Bytes. */
export interface Section {
  index: number;
  from: number;
  length: number;
}

const mebibyte = 1 << 20;
const smallestSection = 16 * mebibyte;
const largestSection = 256 * mebibyte;
const wantedSections = 8;

/** From so many bytes on, a file travels in sections. */
export const largeFileBytes = smallestSection;

/** After so many bytes of a section it is written down how far it has come; a break costs no more for each channel. */
export const checkpointBytes = 8 * mebibyte;

/**
 * Pure: cuts a file into sections, the same way whenever it has the same size. They begin at whole MiB. Enough of them
 * to keep several channels busy, few enough that starting a process for each costs nothing.
 */
export function planSections(sizeBytes: number): Section[] {
  const wanted = Math.ceil(sizeBytes / wantedSections / mebibyte) * mebibyte;
  const step = Math.min(Math.max(wanted, smallestSection), largestSection);
  return Array.from({ length: Math.ceil(sizeBytes / step) }, (_, index) => ({
    index,
    from: index * step,
    length: Math.min(step, sizeBytes - index * step),
  }));
}
