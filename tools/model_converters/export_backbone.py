"""Export the pretrained backbone of a checkpoint to other libraries."""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.options.input_options import InputOptions
from uscl.options.origin_options import OriginOptions


@dataclass(frozen=True, kw_only=True)
class Options(OriginOptions, InputOptions):
    """Options of the tool.

    Attributes:
        checkpoint: Pretraining checkpoint, or a ResNet state dict.
        out: File to write: .pth, .pt, .safetensors, or .onnx; for hub a new folder.
        to: Library whose names and layout to use.
    """

    checkpoint: Annotated[str, Arg('CKPT', positional=True)]
    out: Annotated[str, Arg('OUT', positional=True)]
    to: Literal['mmdet', 'mmpretrain', 'mmseg', 'torchvision', 'timm', 'onnx', 'hub']


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from uscl_plugin.weights.backbone_export import export_backbone

    print(export_backbone(options.checkpoint, options.out, options.to, vars(options)))
    return 0


if __name__ == '__main__':
    sys.exit(main())
