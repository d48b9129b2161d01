import type { Command } from 'commander';
import { helpOrUnknown, withExamples, type SetStatus } from './shared.js';

/** `hpcrun template …`. */
export function defineTemplate(template: Command, setStatus: SetStatus): void {
  template
    .summary('the shapes a job can have: list, show, eject')
    .description(
      'A template is the batch script of a job of one shape. "submit --template NAME" chooses one; a copy in slurm-templates/ of your project goes before ' +
        "hpcrun's own.",
    )
    .helpCommand(false);
  helpOrUnknown(template, setStatus);
  withExamples(
    template,
    ['hpcrun template list', 'what there is'],
    ['hpcrun submit --template torchrun --nodes 2 --gpus 4 train.py', 'one of them'],
  );
  withExamples(
    template
      .command('list')
      .summary('the templates there are')
      .description("Lists hpcrun's templates and your project's own.")
      .option('--json', 'print one JSON object a line')
      .action(async (options: import('../template.js').TemplateOptions) => {
        const { templateListCommand } = await import('../template.js');
        setStatus(await templateListCommand(options));
      }),
    ['hpcrun template list', 'names, and what they are for'],
  );
  withExamples(
    template
      .command('show')
      .summary('print a template')
      .description(
        'Prints a template: bash, with the places hpcrun fills in as ejs. The finished script of a job is shown by "submit --dry-run" and "show --script".',
      )
      .argument('[name]', 'its name', 'single')
      .action(async (name: string) => {
        const { templateShowCommand } = await import('../template.js');
        setStatus(await templateShowCommand(name));
      }),
    ['hpcrun template show torchrun', 'the script of a job with torchrun'],
  );
  withExamples(
    template
      .command('eject')
      .summary('copy a template into your project, to edit it')
      .description(
        'Writes slurm-templates/NAME.sbatch.ejs into your project: one file with everything in it. From then on it is used instead of ' +
          "hpcrun's own, and checked at each submit for what SLURM would pass over in silence.",
      )
      .argument('<name>', 'its name')
      .option('--as <name>', 'under another name, so that both can be used')
      .option('--force', 'even if there is one, which is lost')
      .option('--json', 'print one JSON object a line')
      .action(async (name: string, options: import('../template.js').EjectOptions) => {
        const { templateEjectCommand } = await import('../template.js');
        setStatus(await templateEjectCommand(name, options));
      }),
    ['hpcrun template eject single', 'now edit slurm-templates/single.sbatch.ejs'],
    ['hpcrun template eject mpi --as my-mpi', 'and then: hpcrun submit --template my-mpi …'],
  );
}
