"""Pretrain a backbone on a folder of clips: convert, check, hold patients back, train, export, report.

CLIPS_OR_DATA is a folder as `uscl convert` reads it (docs/your_classifier.md), or one that it wrote. OUT receives
data/, config.py (MMPretrain's own tools/train.py runs it), checkpoints, backbone.pth and report.html. The same command
again goes on where it stopped.
"""

import sys
from collections.abc import Sequence

from uscl.core.command_line import as_command, command_line, use_device
from uscl.core.options import parse_options
from uscl.options.pretraining_options import PretrainingOptions


@as_command(kept='run the same command again to go on.')
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(PretrainingOptions, argv, __doc__)
    use_device(options.device)
    # Here, so that --help need not wait for the hosts.
    from uscl_plugin.pretraining.pretraining_run import pretrain

    return pretrain(options, command_line('tools/pretrain.py', argv))


if __name__ == '__main__':
    sys.exit(main())
