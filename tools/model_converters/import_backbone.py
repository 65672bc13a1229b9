"""Import a ResNet from another library's checkpoint: MMPretrain, MMSelfSup, Lightly, solo-learn, timm, torchvision."""

import sys
from dataclasses import dataclass
from typing import Annotated

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.options.input_options import InputOptions
from uscl.options.origin_options import OriginOptions


@dataclass(frozen=True, kw_only=True)
class Options(OriginOptions, InputOptions):
    """Options of the tool.

    Attributes:
        checkpoint: Checkpoint or state dict; pickled code in it is not executed.
        out: File to write: .pth, .pt or .safetensors.
        prefix: Prefix of the backbone's names, if there are several backbones, such as teacher_backbone.
        method: Training method, such as MoCo v2; stored in the file.
    """

    checkpoint: Annotated[str, Arg('SRC', positional=True)]
    out: Annotated[str, Arg('OUT', positional=True)]
    prefix: str | None = None
    method: Annotated[str | None, Arg('TEXT')] = None


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from uscl_plugin.weights.backbone_import import import_backbone

    print(import_backbone(options.checkpoint, options.out, vars(options), options.prefix))
    return 0


if __name__ == '__main__':
    sys.exit(main())
