"""Train the final classifier or detector on all labelled data, as `uscl evaluate` has judged it.

DATA is a folder that `uscl convert` wrote; with --task detect, one of `uscl convert lesions`. Patients held back choose
the epoch; no other data are left to measure the model on, so evaluate first, and pass its folder as --evaluation. OUT
receives model.pth (for `uscl predict`), config.py and README.md, the model's card. The same command again goes on where
it stopped.
"""

import sys
from collections.abc import Sequence

from uscl.core.command_line import as_command, command_line, use_device
from uscl.core.options import parse_options
from uscl.options.finetuning_options import FinetuningOptions


@as_command(kept='run the same command again to go on.')
def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(FinetuningOptions, argv, __doc__)
    use_device(options.device)
    # Here, so that --help need not wait for the hosts.
    from uscl_plugin.finetuning.finetuning_run import finetune

    return finetune(options, command_line('tools/finetune.py', argv))


if __name__ == '__main__':
    sys.exit(main())
