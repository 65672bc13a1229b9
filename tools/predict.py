"""Predict the class of new clips with a fine-tuned classifier, or find lesions in them with a detector.

MODEL is a model.pth of `uscl finetune` or `uscl evaluate`, or a checkpoint trained with a config of configs/pocus,
configs/udiat_b, configs/busi or configs/bus_uclm. CLIP is a video, a DICOM file, a stack, an image or a folder of
images, or a folder of any of these. With --watch, every new file of a folder is predicted once, until Ctrl-C; a restart
goes on where it ended. For research; not a medical device.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
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

    from uscl.reports.dicom_result import UsedModel
    from uscl_plugin.detection.lesion_detector import Lesion, LesionDetector
    from uscl_plugin.evaluation.classifier import FrameClassifier

_WIDEST = 10_000  # characters of a line of a table
_LONGEST_PAUSE = 5.0  # seconds between two looks into a watched folder

Save = Callable[[], Path]
Predict = Callable[[VideoSource], tuple[dict[str, Any], Save]]  # a row, and how to save it as DICOM
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class PredictionOptions(PreparationOptions):
    """Options of the prediction.

    Attributes:
        model: Classifier or detector, see above.
        clips: What to predict, see above.
        csv: Also write a table: a row per clip, with a detector one per finding.
        json: Print JSON instead of a table.
        overlay: With a detector, write every frame with boxes and outlines as a PNG file.
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
    score: Annotated[float, Arg(at_least=0, at_most=1)] = 0.3
    dicom: Annotated[str | None, Arg('DIR')] = None
    watch: Annotated[str | None, Arg('DIR')] = None
    settle: Annotated[float, Arg(above=0)] = 10.0

    def __post_init__(self) -> None:
        if bool(self.clips) == (self.watch is not None):
            raise ValueError('give clips, or a folder as --watch.')
        if self.watch is not None and (self.dicom is None or self.csv or self.json or self.overlay):
            raise ValueError('--watch needs --dicom, and makes no --csv, --json or --overlay.')


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
    from uscl_plugin.evaluation.classifier import FrameClassifier
    from uscl_plugin.evaluation.trained_model import load_model

    def tell(text: str) -> None:
        print(for_terminal(text), file=sys.stderr)

    if options.dicom is not None:
        require_highdicom()
    model = load_model(options.model)
    predict, used = classify(model, options) if isinstance(model, FrameClassifier) else detect(model, options)
    if options.watch is not None:
        watch(predict, used, options, tell)
        return 0
    rows, is_saved = predict_given(predict, options, tell)
    if rows and isinstance(model, FrameClassifier):
        _say_far(model, rows, options, tell)
    _show(rows, options)
    return 0 if rows and is_saved else 1


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
    from uscl_plugin.running.graceful_stop import stop_on_signal

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


def classify(model: 'FrameClassifier', options: PredictionOptions) -> tuple[Predict, 'UsedModel']:
    """How to predict with a classifier.

    Raises:
        ValueError: Overlays are asked for.
    """
    from uscl.reports.dicom_report import write_report
    from uscl.reports.dicom_result import UsedModel

    if options.overlay is not None:
        raise ValueError(
            f'{options.model} is a classifier, and --overlay shows what a detector finds: see where a classifier looks '
            f'with `uscl cam {options.model} CLIP --out FILE`.'
        )
    settings = options.settings(model.settings)
    used = UsedModel.of_file(options.model, asdict(settings))

    def predict(source: VideoSource) -> tuple[dict, Save]:
        row = model.predict(model.prepare(source.path, settings))
        return row, lambda: write_report(row, used, str(options.dicom))

    return predict, used


def _say_far(model: 'FrameClassifier', rows: list[dict], options: PredictionOptions, tell: Tell) -> None:
    from uscl.reports.prediction_tables import FAR

    far = sum(bool(row['unusual']) for row in rows)
    if model.training is None:
        tell(f'{options.model} does not know its training data, so that how far the clips are from them is not said.')
    elif model.training.limit is None:
        tell(f'{options.model} was tried on {model.training.held_out} clips, too few to say what is {FAR}.')
    elif far:
        tell(f'{far} of {len(rows)} clips are {FAR}: the classes predicted for them mean little.')


def detect(model: 'LesionDetector', options: PredictionOptions) -> tuple[Predict, 'UsedModel']:
    """How to find lesions with a detector.

    Raises:
        ValueError: A frame size is asked for.
    """
    from uscl.convert.videos.store_settings import StoreSettings
    from uscl.reports.dicom_result import UsedModel
    from uscl.reports.dicom_segmentation import write_segmentation
    from uscl_plugin.detection.overlays import OverlayWriter

    if options.frame_size is not None:
        raise ValueError('--frame-size has no effect on a detector, which gets whole frames: remove it.')
    settings = options.settings(StoreSettings())
    overlays = None if options.overlay is None else OverlayWriter(options.overlay)
    facts = {'fps': settings.fps, 'min_frames': settings.min_frames, 'score': options.score}
    used = UsedModel.of_file(options.model, facts)

    def predict(source: VideoSource) -> tuple[dict, Save]:
        draw = None if overlays is None else overlays.of_clip(source.video_id)
        masks: list[dict | None] = []

        def keep(number: int, frame: 'np.ndarray', lesions: list['Lesion']) -> None:
            masks.extend(lesion.mask for lesion in lesions)
            if draw is not None:
                draw(number, frame, lesions)

        row = model.predict_clip(source.path, settings.fps, settings.min_frames, options.score, keep)
        return row, lambda: write_segmentation(row, masks, model.classes, used, str(options.dicom))

    return predict, used


if __name__ == '__main__':
    sys.exit(main())
