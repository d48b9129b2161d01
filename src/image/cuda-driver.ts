/** From NVIDIA's CUDA Toolkit release notes, table "CUDA Toolkit and Corresponding Driver Versions" (Linux, x86_64). */
const firstDrivers: [driver: number, cuda: string][] = [
  [580, '13.0'],
  [575, '12.9'],
  [570, '12.8'],
  [565, '12.7'],
  [560, '12.6'],
  [555, '12.5'],
  [550, '12.4'],
  [545, '12.3'],
  [535, '12.2'],
  [530, '12.1'],
  [525, '12.0'],
  [520, '11.8'],
  [515, '11.7'],
  [510, '11.6'],
  [495, '11.5'],
  [470, '11.4'],
  [465, '11.3'],
  [460, '11.2'],
  [455, '11.1'],
  [450, '11.0'],
  [440, '10.2'],
  [418, '10.1'],
  [410, '10.0'],
];

/** The highest CUDA release a driver such as `550.54.15` supports; undefined if it is none that is known. */
export function highestCuda(driver: string): string | undefined {
  const branch = Number(/^(\d+)\./.exec(driver)?.[1]);
  return firstDrivers.find(([first]) => branch >= first)?.[1];
}
