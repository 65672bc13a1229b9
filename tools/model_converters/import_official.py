"""Convert the checkpoint that the USCL authors released (best_model.pth) to this package's names."""

import argparse
import sys

from uscl.core.command_line import as_command
from uscl_plugin.weights.official_import import CLASSIFIERS, import_official


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', metavar='CKPT', help="the authors' best_model.pth")
    parser.add_argument('out', metavar='OUT', help='file to write: .pth, .pt or .safetensors')
    parser.add_argument(
        '--classifier',
        choices=CLASSIFIERS,
        default=CLASSIFIERS[0],
        help="projection (default): import it for USCLHead(cls_input='projection'); none: leave it out",
    )
    return parser.parse_args(argv)


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    print(import_official(args.checkpoint, args.out, args.classifier))
    return 0


if __name__ == '__main__':
    sys.exit(main())
