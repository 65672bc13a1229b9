"""Convert the checkpoint that the USCL authors released (best_model.pth) to this package's names."""

import argparse
import sys

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


def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    args = parse_args(argv)
    try:
        print(import_official(args.checkpoint, args.out, args.classifier))
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
