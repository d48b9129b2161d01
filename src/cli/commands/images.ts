import type { Command } from 'commander';
import { onCluster, withExamples, type SetStatus } from './shared.js';

/** Commands on images, here and in the cluster's store. */
export function defineImages(program: Command, setStatus: SetStatus): void {
  withExamples(
    program
      .command('convert')
      .summary('make an Apptainer image (SIF) of a Docker image')
      .description(
        'Converts an image of Docker or Podman to one SIF file. Needs no Apptainer, no cluster and no root. An image that resembles ' +
          'one converted before is converted as what differs, which becomes a second partition of the file.',
      )
      .argument('<image>', 'a name or id; it is pulled if it is not here')
      .argument('[output]', 'the file to write, such as out.sif')
      .option('--engine <name>', 'docker or podman (default: HPCRUN_ENGINE, hpcrun.yaml, or the one that is there)')
      .option('--compression <name>', 'gzip, which every cluster reads, or zstd, which is smaller and faster', 'gzip')
      .option('--permissions <how>', 'open: everybody may read what the owner may; keep: as in the image', 'open')
      .option('--platform <os/arch>', 'of an image that has to be pulled, such as linux/amd64')
      .option('--no-overlays', 'make one partition, whatever has been converted before')
      .option('--no-cache', 'convert all of it, whatever has been converted before, and keep nothing')
      .option('--force', 'replace the output if it exists')
      .option('--report', 'print what differs from docker run, what hpcrun does about it and what you can do')
      .option('--json', 'print one JSON object a line')
      .action(async (image: string, output: string | undefined, options: import('../convert.js').ConvertOptions) => {
        const { convertCommand } = await import('../convert.js');
        setStatus(await convertCommand(image, output, options));
      }),
    ['hpcrun convert debian:12 debian.sif', 'then: apptainer exec debian.sif …'],
    ['hpcrun convert --no-overlays my-image my.sif', 'one that runs where overlays cannot be mounted, too'],
    ['hpcrun convert --report my-image', 'only what will be different on a cluster'],
  );
  withExamples(
    onCluster(program.command('images'))
      .summary("what the cluster's store holds and costs")
      .description(
        "Shows the images in the cluster's store, the one used last first: their sizes, how many runs use them, and who. With --local, " +
          'the ones that have been converted on this machine.',
      )
      .option('--local', 'what has been converted on this machine')
      .option('--verify', 'read every image and compare it with its checksum; set aside what is damaged')
      .action(async (options: import('../images.js').ImagesOptions) => {
        const { imagesCommand } = await import('../images.js');
        setStatus(await imagesCommand(options));
      }),
    ['hpcrun images', 'names, sizes, and what uses them'],
    ['hpcrun images --verify', 'after a disk of the cluster has failed'],
  );
  withExamples(
    onCluster(program.command('rmi'))
      .summary("remove images from the cluster's store")
      .description(
        'Removes images from the cluster, never one that a pending or running job uses. They are sent again when a run needs them.',
      )
      .argument('<images...>', 'names, ids or beginnings of ids, as "hpcrun images" shows them')
      .option('--force', 'also what runs that are kept there have used')
      .option('-y, --yes', 'do not ask')
      .action(async (images: string[], options: import('../rmi.js').RmiOptions) => {
        const { rmiCommand } = await import('../rmi.js');
        setStatus(await rmiCommand(images, options));
      }),
    ['hpcrun rmi 5e1f0c', 'by the beginning of its id'],
  );
  withExamples(
    onCluster(program.command('prune'))
      .summary('remove what nothing needs, on the cluster and here')
      .description(
        'Shows and removes what takes room for nothing: images that no run uses and nobody has used for 30 days, unused code, damaged ' +
          'images, abandoned uploads, what interrupted commands left behind, and the images converted here that are too much for the ' +
          'cache. What a pending or running job needs is never touched, and runs only go with --older-than.',
      )
      .option('--older-than <time>', 'images that were not used, and runs that ended, so long ago, such as 30d')
      .option('--all', 'all unused images and uploads, however young; all converted images here')
      .option('--local', 'only on this machine')
      .option('--dry-run', 'only say what would go')
      .option('-y, --yes', 'do not ask')
      .action(async (options: import('../prune.js').PruneOptions) => {
        const { pruneCommand } = await import('../prune.js');
        setStatus(await pruneCommand(options));
      }),
    ['hpcrun prune --dry-run', 'what would go'],
    ['hpcrun prune --older-than 30d', 'old runs and their results, too'],
    ['hpcrun prune --local --older-than 30d', 'what was converted here and not used for a month'],
  );
}
