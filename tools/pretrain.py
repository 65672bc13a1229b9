"""Pretrain a backbone on a folder of clips: convert, check, hold patients back, train, export, report.

CLIPS_OR_DATA is a folder as `uscl convert` reads it (docs/data.md), or one that it wrote. OUT receives data/,
config.py (MMPretrain's own tools/train.py runs it), checkpoints, backbone.pth and report.html. The same command again
goes on where it stopped.
"""

import os
import sys
from collections.abc import Sequence

from uscl.core.command_line import as_command, command_line
from uscl.core.options import parse_options
from uscl.pretraining_options import PretrainingOptions


@as_command(kept='run the same command again to go on.')
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(PretrainingOptions, argv, __doc__)
    if options.device is not None:  # before CUDA is initialised
        os.environ['CUDA_VISIBLE_DEVICES'] = visible_devices(options.device)
    # Here, so that --help need not wait for the hosts.
    from uscl_plugin.pretraining.pretraining_run import pretrain

    return pretrain(options, command_line('tools/pretrain.py', argv))


def visible_devices(device: str) -> str:
    """The GPUs that a run may see: none for ``cpu``, the first for ``cuda``, that one for ``cuda:N``.

    Raises:
        ValueError: The name is another.
    """
    kind, _, number = device.partition(':')
    if device == 'cpu':
        return ''
    if kind != 'cuda' or (number and not number.isdigit()):
        raise ValueError(f'--device should be cpu, cuda or cuda:N, got {device}.')
    return number or '0'


if __name__ == '__main__':
    sys.exit(main())
