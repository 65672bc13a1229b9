"""Import a ResNet from another library's checkpoint: MMPretrain, MMSelfSup, Lightly, solo-learn, timm, torchvision."""

import argparse
import sys

from uscl.core.command_line import as_command
from uscl_plugin.weights.backbone_import import import_backbone
from uscl_plugin.weights.input_metadata import INPUT_KEYS, ORIGIN_KEYS, add_input_arguments, add_origin_arguments


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', metavar='SRC', help='checkpoint or state dict; no pickled code in it is run')
    parser.add_argument('out', metavar='OUT', help='file to write: .pth, .pt or .safetensors')
    parser.add_argument('--prefix', help="of the backbone's names, where there are several, e.g. teacher_backbone")
    parser.add_argument(
        '--method', metavar='TEXT', help='what it was trained with, such as MoCo v2; goes into the file'
    )
    add_input_arguments(parser)
    add_origin_arguments(parser)
    return parser.parse_args(argv)


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    given = {key: getattr(args, key) for key in (*INPUT_KEYS, *ORIGIN_KEYS)}
    print(import_backbone(args.checkpoint, args.out, given, args.prefix))
    return 0


if __name__ == '__main__':
    sys.exit(main())
