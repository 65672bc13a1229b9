"""Predict the class of new clips with a fine-tuned classifier, or find lesions in them with a detector.

MODEL is a model.pth of `uscl finetune` or `uscl evaluate`, an .onnx file of `uscl export --to onnx-model`, or a
checkpoint trained with a config of configs/pocus, configs/udiat_b, configs/busi or configs/bus_uclm. CLIP is a video, a
DICOM file, a stack, an image or a folder of images, or a folder of any of these. With --watch, every new file of a
folder is predicted once, until Ctrl-C; a restart goes on where it ended. For research; not a medical device.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from uscl.clips.video_source import VideoSource
from uscl.core.command_line import as_command
from uscl.core.errors import ClipError
from uscl.core.escaping import for_terminal
from uscl.core.options import Arg, parse_options
from uscl.core.plurals import counted
from uscl.options.preparation_options import PreparationOptions

if TYPE_CHECKING:
    import numpy as np

    from uscl.inference.onnx_classifier import OnnxClassifier
    from uscl.reports.dicom_result import UsedModel
    from uscl_plugin.detection.lesion_detector import Lesion, LesionDetector
    from uscl_plugin.evaluation.classifier import FrameClassifier

_WIDEST = 10_000  # characters of a line of a table
_LONGEST_PAUSE = 5.0  # seconds between two looks into a watched folder

Save = Callable[[], Path]
Predict = Callable[[VideoSource], tuple[dict[str, Any], Save]]  # a row, and how to save it as DICOM
Tell = Callable[[str], None]
Finish = Callable[[list[dict]], str]  # after the last clip; what to say then


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
        dicom: For DICOM clips, write what is predicted as DICOM files: reports (TID 1500), with a detector
            segmentations.
        watch: Instead of clips, a folder whose new files are predicted as they come; needs --dicom.
        settle: With --watch, seconds for which a file's size and time must stand still.
    """

    model: Annotated[str, Arg('MODEL', positional=True)]
    clips: Annotated[list[str], Arg('CLIP', positional=True)] = field(default_factory=list)
    csv: Annotated[str | None, Arg('FILE')] = None
    json: bool = False
    overlay: Annotated[str | None, Arg('DIR')] = None
    coco: Annotated[str | None, Arg('DIR')] = None
    score: Annotated[float, Arg(at_least=0, at_most=1)] = 0.3
    dicom: Annotated[str | None, Arg('DIR')] = None
    watch: Annotated[str | None, Arg('DIR')] = None
    settle: Annotated[float, Arg(above=0)] = 10.0

    def __post_init__(self) -> None:
        if bool(self.clips) == (self.watch is not None):
            raise ValueError('give clips, or a folder as --watch.')
        if self.watch is not None and (self.dicom is None or self.csv or self.json or self.overlay or self.coco):
            raise ValueError('--watch needs --dicom, and makes no --csv, --json, --overlay or --coco.')


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool.

    Returns:
        Exit code: 0; 1 if the model or all clips could not be read, or no DICOM file that was asked for could be
        written.
    """
    options = parse_options(PredictionOptions, argv, __doc__)
    # Here, so that --help need not wait for the hosts.
    from uscl.reports.dicom_result import require_highdicom

    def tell(text: str) -> None:
        print(for_terminal(text), file=sys.stderr)

    if options.dicom is not None:
        require_highdicom()
    model, is_detector = load(options.model)
    predict, used, finish = detect(model, options) if is_detector else classify(model, options)
    if options.watch is not None:
        watch(predict, used(), options, tell)
        return 0
    rows, is_saved = predict_given(predict, options, tell)
    if rows and (said := finish(rows)):
        tell(said)
    _show(rows, options)
    return 0 if rows and is_saved else 1


def load(path: str) -> tuple[Any, bool]:
    """The model, without PyTorch if it is an ONNX file, and whether it is a detector."""
    if Path(path).suffix == '.onnx':
        from uscl.inference.onnx_classifier import load_onnx_classifier

        return load_onnx_classifier(path), False
    from uscl_plugin.evaluation.classifier import FrameClassifier
    from uscl_plugin.evaluation.trained_model import load_model

    model = load_model(path)
    return model, not isinstance(model, FrameClassifier)


def predict_given(predict: Predict, options: PredictionOptions, tell: Tell) -> tuple[list[dict], bool]:
    """Predict the clips that are given.

    Returns:
        A row for each, and whether DICOM files were written, if they were asked for.
    """
    from uscl.clips.given_clips import use_given

    written = []

    def use(source: VideoSource) -> dict:
        row, save = predict(source)
        try:
            if options.dicom is not None:
                written.append(save())
        except ClipError as error:
            tell(f'predicted, but not written as DICOM: {error}')
        return row

    rows = list(use_given(options.clips, use, tell, options.stills))
    if written:
        tell(f'{counted(len(written), "DICOM file")} written to {options.dicom}.')
    return rows, options.dicom is None or bool(written)


def watch(predict: Predict, used: 'UsedModel', options: PredictionOptions, tell: Tell) -> None:
    """Predict the new files of a folder until Ctrl-C or SIGTERM, which end the file at hand first."""
    from uscl.clips.folder_watch import FolderWatch
    from uscl.core.folder_lock import lock_folder
    from uscl.core.graceful_stop import stop_on_signal

    assert options.watch is not None and options.dicom is not None
    source, out = Path(options.watch), Path(options.dicom)

    def use(path: Path) -> Save:
        return predict(VideoSource(path.name, path))[1]

    with stop_on_signal() as stop, lock_folder(out, 'watching'):
        folder = FolderWatch(source, out, use, tell, options.settle, used.identity)
        tell(f'watching {source}; Ctrl-C stops.')
        pause = min(options.settle / 2, _LONGEST_PAUSE)
        waiting = 0
        while not stop.is_set:
            waiting = folder.look(time.monotonic(), lambda: stop.is_set)
            end = time.monotonic() + pause
            while not stop.is_set and time.monotonic() < end:
                time.sleep(min(0.1, pause))
        said = ', '.join(f'{folder.counts[outcome]} {outcome}' for outcome in ('written', 'copy', 'rejected'))
        tell(f'stopped: {said}, {waiting} waiting.')


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


def classify(
    model: 'FrameClassifier | OnnxClassifier', options: PredictionOptions
) -> tuple[Predict, 'Callable[[], UsedModel]', Finish]:
    """How to predict with a classifier.

    Raises:
        ValueError: Overlays or findings are asked for.
    """
    from uscl.reports.dicom_report import write_report
    from uscl.reports.dicom_result import UsedModel

    if options.overlay is not None or options.coco is not None:
        raise ValueError(
            f'{options.model} is a classifier, and --overlay and --coco show what a detector finds: see where a '
            f'classifier looks with `uscl cam {options.model} CLIP --out FILE`.'
        )
    settings = options.settings(model.settings)
    used = cache(lambda: UsedModel.of_file(options.model, asdict(settings)))  # read for --dicom only

    def predict(source: VideoSource) -> tuple[dict, Save]:
        row = model.predict_file(source.path, settings)
        return row, lambda: write_report(row, used(), str(options.dicom))

    return predict, used, lambda rows: _far(model, rows, options.model)


def _far(model: 'FrameClassifier | OnnxClassifier', rows: list[dict], name: str) -> str:
    """How many clips are far from the training data, if that is known."""
    from uscl.reports.prediction_tables import FAR

    if model.training is None:
        return f'{name} does not know its training data, so that how far the clips are from them is not said.'
    if model.training.limit is None:
        return f'{name} was tried on {model.training.held_out} clips, too few to say what is {FAR}.'
    far = sum(bool(row['unusual']) for row in rows)
    return f'{far} of {len(rows)} clips are {FAR}: the classes predicted for them mean little.' if far else ''


def detect(model: 'LesionDetector', options: PredictionOptions) -> tuple[Predict, 'Callable[[], UsedModel]', Finish]:
    """How to find lesions with a detector.

    Raises:
        ValueError: A frame size is asked for.
    """
    from uscl.convert.videos.store_settings import StoreSettings
    from uscl.reports.dicom_result import UsedModel
    from uscl.reports.dicom_segmentation import write_segmentation
    from uscl_plugin.detection.overlays import OverlayWriter
    from uscl_plugin.detection.pre_annotations import PreAnnotationWriter

    if options.frame_size is not None:
        raise ValueError('--frame-size has no effect on a detector, which gets whole frames: remove it.')
    settings = options.settings(StoreSettings())
    found = options.coco and PreAnnotationWriter(options.coco, model.classes, Path(options.model).name)
    writers = [*filter(None, (options.overlay and OverlayWriter(options.overlay), found))]
    facts = {'fps': settings.fps, 'min_frames': settings.min_frames, 'score': options.score}
    used = cache(lambda: UsedModel.of_file(options.model, facts))  # read for --dicom only

    def predict(source: VideoSource) -> tuple[dict, Save]:
        drawers = [writer.of_clip(source.video_id) for writer in writers]
        masks: list[dict | None] = []

        def keep(number: int, frame: 'np.ndarray', lesions: list['Lesion']) -> None:
            masks.extend(lesion.mask for lesion in lesions)
            for draw in drawers:
                draw(number, frame, lesions)

        row = model.predict_clip(source.path, settings.fps, settings.min_frames, options.score, keep)
        return row, lambda: write_segmentation(row, masks, model.classes, used(), str(options.dicom))

    def finish(rows: list[dict]) -> str:
        return f'{found.write()}: correct it in CVAT or Label Studio, see docs/annotators.md.' if found else ''

    return predict, used, finish


if __name__ == '__main__':
    sys.exit(main())
