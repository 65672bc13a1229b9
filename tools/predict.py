"""Say which class a fine-tuned classifier sees in new clips: the mean of its frames' probabilities.

CHECKPOINT is a model.pth of tools/evaluate.py, or a checkpoint that a config of configs/pocus has trained; CLIP a
video, a DICOM file, a folder of images or an image. For research; not a medical device.
"""

import argparse
import json
import sys

from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table

from uscl.core.command_line import as_command, positive_float, positive_int
from uscl.core.errors import ClipError
from uscl_plugin.evaluation.classifier import load_classifier, read_clip


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', metavar='CHECKPOINT')
    parser.add_argument('clips', nargs='+', metavar='CLIP')
    parser.add_argument('--json', action='store_true', help='print JSON in place of a table')
    parser.add_argument('--fps', type=positive_float, default=3.0, help='frames used in a second (default: 3)')
    parser.add_argument('--frame-size', type=positive_int, default=256, help="as the converter's --size (default: 256)")
    return parser.parse_args(argv)


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool.

    Returns:
        Exit code: 0; 1 if the checkpoint or every clip could not be read.
    """
    args = parse_args(argv)
    init_default_scope('mmpretrain')
    classifier = load_classifier(args.checkpoint)
    rows = []
    for clip in args.clips:
        try:
            frames = classifier.probabilities(read_clip(clip, args.fps, args.frame_size))
        except ClipError as error:
            print(f'skipped: {error}', file=sys.stderr)
            continue
        mean = frames.mean(axis=0)
        rows.append(
            {
                'clip': clip,
                'predicted': classifier.classes[int(mean.argmax())],
                'probabilities': dict(zip(classifier.classes, mean.tolist(), strict=True)),
                'frames': len(frames),
                # Of the frames, how many agree: a clip of two opinions shows in this.
                'agreement': float((frames.argmax(axis=1) == mean.argmax()).mean()),
            }
        )
    if args.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    elif rows:
        table = Table('clip', *classifier.classes, 'predicted', 'frames', 'agreeing')
        for row in rows:
            shares = (f'{value:.3f}' for value in row['probabilities'].values())
            table.add_row(row['clip'], *shares, row['predicted'], str(row['frames']), f'{row["agreement"]:.0%}')
        Console(width=max(80, 40 + max(len(row['clip']) for row in rows) + 12 * len(classifier.classes))).print(table)
    return 0 if rows else 1


if __name__ == '__main__':
    sys.exit(main())
