"""Run a training step saved by FiniteLossHook again, and show where its loss stops being finite.

python tools/analysis/replay_batch.py WORK_DIR/CONFIG.py WORK_DIR/non_finite/FILE.pth
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """Options of the replay.

    Attributes:
        config: Config of the run, preferably the one in its work folder.
        file: WORK_DIR/non_finite/epoch<E>_iter<I>_rank<R>.pth.
        device: Device to run on: cpu, or cuda as in the run.
    """

    config: Annotated[str, Arg(positional=True)]
    file: Annotated[Path, Arg(positional=True)]
    device: str = 'cpu'


@as_command()
def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run the step, and print the result."""
    options = parse_options(ReplayOptions, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    from uscl_plugin.running.batch_replay import load_step, replay

    saved = load_step(options.file)
    cfg = Config.fromfile(options.config)
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    MMLogger.get_instance('replay', log_level='WARNING')
    found = replay(cfg.model, saved, options.device)
    print(f'epoch {saved["epoch"]}, step {saved["iteration"]}, process {saved["rank"]}: {", ".join(saved["videos"])}')
    for name, value in found.losses.items():
        print(f'{name}: {value:.6g}')
    for what, names in (('weights before the step', found.bad_weights), ('gradients', found.bad_gradients)):
        if names:
            print(f'not finite: {len(names)} {what}, first {names[0]}')
    if found.first:
        print(f'first output that is not finite: {found.first}')
    elif all(abs(value) < float('inf') for value in found.losses.values()):
        print('every output and loss is finite here: the cause depends on the precision or the processes of the run.')
    else:
        print('every module gives finite outputs, but the loss is not finite.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
