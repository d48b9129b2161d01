import { describe, expect, it } from 'vitest';
import { renderTorchrunWords } from '../../src/slurm/torchrun.js';

describe('renderTorchrunWords', () => {
  it.each([
    ['python3 train.py --lr 1', 'python3 -m torch.distributed.run', 'train.py --lr 1'],
    ['/opt/venv/bin/python3.12 -u train.py', '/opt/venv/bin/python3.12 -u -m torch.distributed.run', 'train.py'],
    ['python -X dev -W error a.py -m b', 'python -X dev -W error -m torch.distributed.run', 'a.py -m b'],
    ['python3 -m pkg.train --x', 'python3 -m torch.distributed.run', '--module pkg.train --x'],
    ['/entry.sh python3 train.py', '/entry.sh python3 -m torch.distributed.run', 'train.py'],
    ['torchrun --max-restarts=2 train.py', 'torchrun', '--max-restarts=2 train.py'],
    ['/usr/bin/torchrun train.py', '/usr/bin/torchrun', 'train.py'],
    ['python3 -m torch.distributed.run train.py', 'python3 -m torch.distributed.run', 'train.py'],
    ['./train --x', 'python3 -m torch.distributed.run', '--no-python ./train --x'],
    ['bash train.sh', 'python3 -m torch.distributed.run', '--no-python bash train.sh'],
    ['python3 -c pass', 'python3 -m torch.distributed.run', '--no-python python3 -c pass'],
    ['python3', 'python3 -m torch.distributed.run', '--no-python python3'],
  ])('%s', (argv, before, after) => {
    expect(renderTorchrunWords(argv.split(' '))).toEqual({ before: before.split(' '), after: after.split(' ') });
  });
});
