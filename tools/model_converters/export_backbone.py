"""Export the pretrained backbone of a checkpoint to other libraries, or a whole classifier to other runtimes.

With --to onnx-model or openvino, CKPT is a classifier, such as the model.pth of `uscl finetune`. The file takes frames
as they are and returns probabilities; `uscl predict` runs the ONNX file without PyTorch. A card is written beside it.
"""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.options.input_options import InputOptions
from uscl.options.origin_options import OriginOptions

WHOLE = ('onnx-model', 'openvino')


@dataclass(frozen=True, kw_only=True)
class Options(OriginOptions, InputOptions):
    """Options of the tool.

    Attributes:
        checkpoint: Pretraining checkpoint, a ResNet state dict, or for a whole model a classifier.
        out: File to write: .pth, .pt, .safetensors, .onnx or .xml; for hub a new folder.
        to: Library whose names and layout to use, or kind of whole model.
        half: With hub, store the weights in half precision.
        int8: With onnx-model, write a model in 8 bits, calibrated on this data folder, that of its training.
        min_agreement: Smallest share of the clips held back whose class 8 bits keep, in [0, 1].
    """

    checkpoint: Annotated[str, Arg('CKPT', positional=True)]
    out: Annotated[str, Arg('OUT', positional=True)]
    to: Literal['mmdet', 'mmpretrain', 'mmseg', 'torchvision', 'timm', 'onnx', 'hub', 'onnx-model', 'openvino']
    half: bool = False
    int8: Annotated[str | None, Arg('DATA')] = None
    min_agreement: Annotated[float, Arg(at_least=0, at_most=1)] = 0.95


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    if options.half and options.to != 'hub':
        raise ValueError(f'--half is for --to hub, not {options.to}: remove it.')
    # Here, so that --help need not wait for the hosts.
    if options.to in WHOLE:
        from uscl_plugin.deployment.model_export import export_model

        print(export_model(options.checkpoint, options.out, options.to, options.int8, options.min_agreement))
        return 0
    if options.int8 is not None:
        raise ValueError(f'--int8 is for --to onnx-model, not {options.to}: remove it.')
    from uscl_plugin.weights.backbone_export import export_backbone

    print(export_backbone(options.checkpoint, options.out, options.to, vars(options), options.half))
    return 0


if __name__ == '__main__':
    sys.exit(main())
