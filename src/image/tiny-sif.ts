import { partitionAlignment, partitionOffset, renderSifHead } from './sif.js';
import type { Compression } from './squash.js';

/**
 * Squashfs files without a program: the directories that Apptainer wants to be there (/dev, /proc, /tmp …), those that a node's own
 * programs can be mounted on (/usr, /bin, /lib …), and four empty files in /etc. Made by mksquashfs 4.5 with -all-root -nopad and times of 0.
 */
const squashfs: Record<Compression, string> = {
  gzip: [
    'aHNxcxYAAAAAAAAAAAACAAAAAAABABEAwAIBAAQAAACgAgAAAAAAAO0BAAAAAAAA5QEAAAAAAAD//////////2AAAAAAAAAA3AAAAAAAAACe',
    'AQAAAAAAANcBAAAAAAAAegB42oXRiQmAMAwF0Fjv+6oKLiQ4hNO5iuM4gwZRW2vhB0JKH4EPcWh36K7nIbhd7v76Uy4sLmh93bvnwaV2lPvA',
    'A+ChxfV8rpZvtuSPPvmnn8fAE+Ap8Ax4DrwAXgKvgNfAG+At8M5wabjU7jha9nstx0YLDTxPuwkrrsAAeNo9jl8OgjAMh9uBUfG/xndO4JPx',
    'maOggEoCbFkHxjeOwlE8ikexVHTJL/36ZV3nwff4nIijmG5W1yYGlOauyVHLqGAE5kz0SDvwuAvAZqSL5pDo6jq8AntOrEBmXWlWg8Z/VXDJ',
    'q5ChxzRrXlx6zFzyhjGjxxvLDHAiusgvIU4Z/R5PxwgD8WXlYpwJauNanMuksTrpcCFstXYvXMoVW1dvXIkmXg9qLZqeFKrN76+R2grWZFu1',
    'E2zO9gMe6yzcNwB42i3LMQHAIAwAwRQlSImUSImUSEEKUjpwv9z0Ea/Nw2SxObyMz89ksTk8vIzlZ7JZHP4KuQj1ngEAAAAAAAAEgAAAAADf',
    'AQAAAAAAAA==',
  ].join(''),
  zstd: [
    'aHNxcxYAAAAAAAAAAAACAAAAAAAGABEAwAIBAAQAAACgAgAAAAAAAAoCAAAAAAAAAgIAAAAAAAD//////////2AAAAAAAAAA2wAAAAAAAACt',
    'AQAAAAAAAPQBAAAAAAAAeQAotS/9YMABfQMAlAMBAO0BAAIAAAADAAAAFgAAAAICAKQE/wAFBgcDSggDAEcJCgsMDQ4PEBESExUUFBoWxQBe',
    'ABcAAAAioFB2LGwHsBcKwwELMdq0bOx2m6am0WyaTVPT1DwGz6mhESdpNMInG8hfqCSOzUNSMiYD0AAotS/9YCAANQYAUs0oIIBPBzPAJKgJ',
    'c1L8iD4sGDiQ/AyRvMCzEQcSSFgI2TIF5HX+vv9clcymc6vmRjnNzL34YXnpVjTJ3/eVZkuMyaTXDJPjgfeRVssRH22VYvj7vtHVRAXvFx1h',
    'H/j7PtHfQuwdeH94m5XbPXtu2u/7/Uj8sN/+Mobl7/u/1n/onIgz6QRx3sgbvwe+amjO13jh9/dqLjP2+tZoYrJ78Pu/+h8cCA0g4ChIqwOe',
    'GC9UeobWghOLA8lI3+xq8WNd8oGNYRcLRQAotS/9ILDlAQAyygwQ0KUxACtCEYpQhEIEE0iZAv/Gv/BP/AP/5t9f5Rf5NX6JX+EX+DW//st/',
    '/MU//EHynwECAGBgBq6tAQAAAAAAAASAAAAAAPwBAAAAAAAA',
  ].join(''),
};

/** An image of a few kilobytes in which the node's own programs can be run, when they are mounted into it. */
export function renderTinySif(architecture: string, compression: Compression): Buffer {
  const content = Buffer.from(squashfs[compression], 'base64');
  const partition = Buffer.alloc(partitionAlignment);
  content.copy(partition);
  const object = { type: 'system', name: 'tiny', offset: partitionOffset, sizeBytes: partition.length } as const;
  return Buffer.concat([renderSifHead({ architecture, objects: [object] }), partition]);
}
