"""Predict the class of new clips with a fine-tuned classifier, by averaging over their frames.

CHECKPOINT is a model.pth of tools/evaluate.py, or a checkpoint trained with a config of configs/pocus; CLIP is a video,
a DICOM file, a stack, a folder of images or an image. For research; not a medical device.
"""

import json
import sys
from dataclasses import dataclass
from typing import Annotated

from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table

from uscl.clips.enough_frames import MIN_FRAMES
from uscl.core.command_line import as_command
from uscl.core.errors import ClipError
from uscl.core.options import Arg, parse_options
from uscl_plugin.evaluation.classifier import load_classifier


@dataclass(frozen=True, kw_only=True)
class PredictionOptions:
    """Options of the prediction.

    Attributes:
        checkpoint: Checkpoint of a classifier, see above.
        clips: Clips to classify, see above.
        json: Print JSON instead of a table.
        fps: Frames used per second.
        min_frames: Minimum number of frames used from a short clip, evenly spaced; all if it has fewer.
        frame_size: Same as the converter's --size.
    """

    checkpoint: Annotated[str, Arg('CHECKPOINT', positional=True)]
    clips: Annotated[list[str], Arg('CLIP', positional=True)]
    json: bool = False
    fps: Annotated[float, Arg(above=0)] = 3.0
    min_frames: Annotated[int, Arg('N', at_least=1)] = MIN_FRAMES
    frame_size: Annotated[int, Arg(at_least=1)] = 256


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool.

    Returns:
        Exit code: 0; 1 if the checkpoint or all clips could not be read.
    """
    options = parse_options(PredictionOptions, argv, __doc__)
    init_default_scope('mmpretrain')
    classifier = load_classifier(options.checkpoint)
    rows = []
    for clip in options.clips:
        try:
            rows.append(classifier.predict_clip(clip, options.fps, options.frame_size, options.min_frames))
        except ClipError as error:
            print(f'skipped: {error}', file=sys.stderr)
    if options.json:
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
