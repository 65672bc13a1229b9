"""Export the pretrained backbone of a checkpoint to other libraries."""

import argparse
import sys

from uscl.core.command_line import as_command
from uscl_plugin.weights.backbone_export import TARGETS, export_backbone
from uscl_plugin.weights.input_metadata import INPUT_KEYS, add_input_arguments, add_origin_arguments


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint of a pretraining, or a ResNet state dict')
    parser.add_argument(
        'out', metavar='OUT', help='file to write: .pth, .pt, .safetensors, or .onnx; for hub a new folder'
    )
    parser.add_argument('--to', required=True, choices=TARGETS, help='whose names and layout to write')
    add_input_arguments(parser)
    add_origin_arguments(parser)
    return parser.parse_args(argv)


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    given = {key: getattr(args, key) for key in (*INPUT_KEYS, 'license', 'data')}
    print(export_backbone(args.checkpoint, args.out, args.to, given))
    return 0


if __name__ == '__main__':
    sys.exit(main())
