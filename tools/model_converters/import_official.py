"""Convert the checkpoint released by the USCL authors (best_model.pth) to this package's names."""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        checkpoint: The authors' best_model.pth.
        out: File to write: .pth, .pt or .safetensors.
        classifier: Projection: import it for USCLHead(cls_input='projection'); none: leave it out.
    """

    checkpoint: Annotated[str, Arg('CKPT', positional=True)]
    out: Annotated[str, Arg('OUT', positional=True)]
    classifier: Literal['projection', 'none'] = 'projection'


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from uscl_plugin.weights.official_import import import_official

    print(import_official(options.checkpoint, options.out, options.classifier))
    return 0


if __name__ == '__main__':
    sys.exit(main())
