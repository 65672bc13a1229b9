"""The options that all converters of clips have."""

import argparse

from uscl.core.command_line import positive_int

from .frame_decoding import COLOR_MODES


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add SRC, --out, --size, --color and --workers."""
    parser.add_argument('src', metavar='SRC', help='the source folder; it is only read')
    parser.add_argument('--out', required=True, metavar='DIR', help='the dataset folder to make or to go on with')
    parser.add_argument(
        '--size', type=positive_int, default=256, help='largest shorter side of a stored frame in pixels (default: 256)'
    )
    parser.add_argument(
        '--color',
        choices=COLOR_MODES,
        default='auto',
        help='auto (default) stores a video as gray if all of its frames are; gray, color: store every video so',
    )
    parser.add_argument('--keep-images', action='store_true', help='also write frames as PNG files, to look at')
    parser.add_argument('--workers', type=positive_int, metavar='N', help='processes (default: one for every core)')
