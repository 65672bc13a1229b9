"""Predict the class of new clips with a fine-tuned classifier, or find lesions in them with a detector.

MODEL is a model.pth of `uscl finetune` or `uscl evaluate`, an .onnx file of `uscl export --to onnx-model`, or a
checkpoint trained with a config of configs/pocus, configs/udiat_b, configs/busi or configs/bus_uclm. CLIP is a video, a
DICOM file, a stack, an image or a folder of images, or a folder of any of these. For research; not a medical device.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from uscl.clips.video_source import VideoSource
from uscl.core.command_line import as_command
from uscl.core.escaping import for_terminal
from uscl.core.options import Arg, parse_options
from uscl.options.preparation_options import PreparationOptions

if TYPE_CHECKING:
    import numpy as np

    from uscl.inference.onnx_classifier import OnnxClassifier
    from uscl_plugin.detection.lesion_detector import Lesion, LesionDetector
    from uscl_plugin.evaluation.classifier import FrameClassifier

_WIDEST = 10_000  # characters of a line of a table


@dataclass(frozen=True, kw_only=True)
class PredictionOptions(PreparationOptions):
    """Options of the prediction.

    Attributes:
        model: Classifier or detector, see above.
        clips: What to predict, see above.
        csv: Also write a table: a row per clip, with a detector one per finding.
        json: Print JSON instead of a table.
        overlay: With a detector, write every frame with boxes and outlines as a PNG file.
        coco: With a detector, write frames and findings as a data set of lesions, to correct in CVAT or Label Studio.
        score: With a detector, minimum score of findings, in [0, 1].
    """

    model: Annotated[str, Arg('MODEL', positional=True)]
    clips: Annotated[list[str], Arg('CLIP', positional=True)]
    csv: Annotated[str | None, Arg('FILE')] = None
    json: bool = False
    overlay: Annotated[str | None, Arg('DIR')] = None
    coco: Annotated[str | None, Arg('DIR')] = None
    score: Annotated[float, Arg(at_least=0, at_most=1)] = 0.3


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool.

    Returns:
        Exit code: 0; 1 if the model or all clips could not be read.
    """
    options = parse_options(PredictionOptions, argv, __doc__)

    def tell(text: str) -> None:
        print(for_terminal(text), file=sys.stderr)

    rows = predict(options, tell)
    _show(rows, options)
    return 0 if rows else 1


def _show(rows: list[dict], options: PredictionOptions) -> None:
    from rich.console import Console

    from uscl.core.tables import write_csv
    from uscl.reports.prediction_tables import prediction_csv, prediction_table

    if options.csv is not None:
        write_csv(options.csv, *(prediction_csv(rows) if rows else ((), ())))
    if options.json:
        print(json.dumps(rows, indent=1))  # in ASCII: a terminal may obey other characters
    elif rows:
        Console(width=_WIDEST).print(prediction_table(rows))  # as wide as its names are, also when piped


def predict(options: PredictionOptions, tell: Callable[[str], None]) -> list[dict]:
    """Predict with whatever the model is; without PyTorch if it is an ONNX file."""
    if Path(options.model).suffix == '.onnx':
        from uscl.inference.onnx_classifier import load_onnx_classifier

        return classify(load_onnx_classifier(options.model), options, tell)
    from uscl_plugin.evaluation.classifier import FrameClassifier
    from uscl_plugin.evaluation.trained_model import load_model

    model = load_model(options.model)
    return classify(model, options, tell) if isinstance(model, FrameClassifier) else detect(model, options, tell)


def classify(
    model: 'FrameClassifier | OnnxClassifier', options: PredictionOptions, tell: Callable[[str], None]
) -> list[dict]:
    """Predict with a classifier.

    Raises:
        ValueError: Overlays or findings are asked for.
    """
    from uscl.clips.given_clips import use_given
    from uscl.reports.prediction_tables import FAR

    if options.overlay is not None or options.coco is not None:
        raise ValueError(
            f'{options.model} is a classifier, and --overlay and --coco show what a detector finds: see where a '
            f'classifier looks with `uscl cam {options.model} CLIP --out FILE`.'
        )
    settings = options.settings(model.settings)
    rows = list(
        use_given(options.clips, lambda source: model.predict_file(source.path, settings), tell, options.stills)
    )
    far = sum(bool(row['unusual']) for row in rows)
    if model.training is None:
        tell(f'{options.model} does not know its training data, so that how far the clips are from them is not said.')
    elif model.training.limit is None:
        tell(f'{options.model} was tried on {model.training.held_out} clips, too few to say what is {FAR}.')
    elif far:
        tell(f'{far} of {len(rows)} clips are {FAR}: the classes predicted for them mean little.')
    return rows


def detect(model: 'LesionDetector', options: PredictionOptions, tell: Callable[[str], None]) -> list[dict]:
    """Find lesions with a detector.

    Raises:
        ValueError: A frame size is asked for.
    """
    from uscl.clips.given_clips import use_given
    from uscl.convert.videos.store_settings import StoreSettings
    from uscl_plugin.detection.overlays import OverlayWriter
    from uscl_plugin.detection.pre_annotations import PreAnnotationWriter

    if options.frame_size is not None:
        raise ValueError('--frame-size has no effect on a detector, which gets whole frames: remove it.')
    settings = options.settings(StoreSettings())
    found = options.coco and PreAnnotationWriter(options.coco, model.classes, Path(options.model).name)
    writers = [*filter(None, (options.overlay and OverlayWriter(options.overlay), found))]

    def predict(source: VideoSource) -> dict:
        drawers = [writer.of_clip(source.video_id) for writer in writers]

        def draw(number: int, frame: 'np.ndarray', lesions: 'list[Lesion]') -> None:
            for drawer in drawers:
                drawer(number, frame, lesions)

        return model.predict_clip(source.path, settings.fps, settings.min_frames, options.score, draw)

    rows = list(use_given(options.clips, predict, tell, options.stills))
    if found and rows:
        tell(f'{found.write()}: correct it in CVAT or Label Studio, see docs/annotators.md.')
    return rows


if __name__ == '__main__':
    sys.exit(main())
