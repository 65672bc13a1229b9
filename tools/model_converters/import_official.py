"""Convert the checkpoint released by the USCL authors (best_model.pth) to this package's names."""

import sys
from dataclasses import dataclass
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl_plugin.weights.official_import import CLASSIFIERS, import_official


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
    classifier: Annotated[str, Arg(choices=CLASSIFIERS)] = CLASSIFIERS[0]


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    print(import_official(options.checkpoint, options.out, options.classifier))
    return 0


if __name__ == '__main__':
    sys.exit(main())
