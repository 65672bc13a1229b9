"""An exported classifier in 8 bits, and how far it agrees with the one in floating point."""

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uscl.data.fold_making import final_fold
from uscl.data.video_folder import VideoFolder
from uscl.inference.onnx_classifier import COLOR, FRAMES, run_frames
from uscl.inference.sealed_model import start_session

Clips = Sequence[Sequence[np.ndarray]]  # the frames of each

_PER_CLIP = 4  # frames, evenly spaced
_MOST_CLIPS = 100  # that calibrate
_RUNS = 30  # that are timed


@dataclass(frozen=True)
class Agreement:
    """How far two models agree on clips.

    Attributes:
        clips: Their number.
        changed: Clips whose class differs.
        largest: Largest difference of a clip's probability.
        frames: Number of frames.
        frames_changed: Frames whose class differs.
    """

    clips: int
    changed: int
    largest: float
    frames: int
    frames_changed: int

    @property
    def share(self) -> float:
        """Share of the clips with the same class."""
        return 1 - self.changed / self.clips


def calibration_clips(data: str | Path, classes: Sequence[str]) -> tuple[Clips, Clips]:
    """A few frames of the clips that calibrate, and of those that are held back to compare the models.

    They are divided as `uscl finetune` does by default: a fifth of the patients of each class is held back.

    Args:
        data: Folder that a converter wrote.
        classes: Classes of the model.

    Returns:
        The frames of each clip, (H, W) grey or (H, W, 3) RGB, uint8.

    Raises:
        FileNotFoundError: The folder has no annotation or no store.
        ValueError: It does not have every class, or too few patients, or its store is damaged.
    """
    folder = VideoFolder(data)
    try:
        (fold,) = final_fold(folder.entries).folds
    except ValueError as error:
        raise ValueError(f'{data}: {error}') from error
    label = {entry['video_id']: entry['label'] for entry in folder.entries}
    found = {label[name] for name in fold['train']}
    if missing := [name for name in classes if name not in found]:
        raise ValueError(f'{data} has no clip of the class {missing[0]} to calibrate with: pass the training data.')
    if not fold['val']:
        raise ValueError(f'{data} has too few patients to hold some back: pass more clips.')
    places = {entry['video_id']: k for k, entry in enumerate(folder.entries)}
    kept = fold['train'][:: -(-len(fold['train']) // _MOST_CLIPS)]
    calibrating, held_back = ([_frames(folder, places[name]) for name in names] for names in (kept, fold['val']))
    return calibrating, held_back


def _frames(folder: VideoFolder, index: int) -> list[np.ndarray]:
    stored = folder[index]['frames']
    chosen = np.unique(np.linspace(0, len(stored) - 1, min(len(stored), _PER_CLIP)).astype(int))
    return [np.ascontiguousarray(stored[k] if stored[k].ndim == 2 else stored[k][..., ::-1]) for k in chosen]


def quantise(content: bytes, clips: Clips) -> bytes:
    """The network of an exported classifier in 8 bits, by ONNX Runtime's static quantisation; the input stays exact.

    Weights have 7 bits, for without them processors that lack the instructions of neural networks saturate.

    Args:
        content: From :func:`.whole_classifier.trace_classifier`.
        clips: From :func:`calibration_clips`.
    """
    import onnx
    from onnxruntime import quantization

    model = onnx.load_from_string(content)
    exact = [
        node.name for node in model.graph.node if node.name.startswith('/frame_input/') or node.op_type == 'Softmax'
    ]

    class Frames(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[dict] = (
                {FRAMES: _as_batch(frame), COLOR: np.array([frame.ndim == 3])} for clip in clips for frame in clip
            )

        def get_next(self) -> dict | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, out = Path(folder, 'float.onnx'), Path(folder, 'int8.onnx')
        source.write_bytes(content)
        quantization.quantize_static(
            source,
            out,
            Frames(),
            op_types_to_quantize=[
                'Conv',
                'Gemm',
                'Add',
                'Mul',
                'MaxPool',
                'GlobalAveragePool',
                'Relu',
                'Clip',
                'HardSwish',
            ],
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            nodes_to_exclude=exact,
        )
        return out.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that ONNX Runtime logs for those who call it directly."""
    import onnxruntime

    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(3)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        onnxruntime.set_default_logger_severity(2)  # warnings, its default


def compare(first: bytes, second: bytes, clips: Clips) -> Agreement:
    """How far two models agree on clips, by the mean of the probabilities of their frames."""
    sessions = [start_session(content) for content in (first, second)]
    pairs = [[run_frames(session, clip)[0] for session in sessions] for clip in clips]
    means = np.array([[frames.mean(axis=0) for frames in pair] for pair in pairs])  # (clips, 2, classes)
    changed = (means[:, 0].argmax(axis=1) != means[:, 1].argmax(axis=1)).sum()
    frames = [np.concatenate([pair[k] for pair in pairs]).argmax(axis=1) for k in (0, 1)]
    largest = float(np.abs(means[:, 0] - means[:, 1]).max())
    return Agreement(len(clips), int(changed), largest, len(frames[0]), int((frames[0] != frames[1]).sum()))


def latencies(contents: Sequence[bytes], frame: np.ndarray) -> list[float]:
    """Milliseconds that each model takes for one frame on one core: the median of some runs, taken in turns."""
    sessions = [start_session(content, threads=1) for content in contents]
    inputs = {FRAMES: _as_batch(frame), COLOR: np.array([frame.ndim == 3])}
    times = np.zeros((_RUNS + 2, len(sessions)))
    for run in times:
        for k, session in enumerate(sessions):
            start = time.perf_counter()
            session.run(None, inputs)
            run[k] = time.perf_counter() - start
    return (1000 * np.median(times[2:], axis=0)).tolist()


def _as_batch(frame: np.ndarray) -> np.ndarray:
    return np.atleast_3d(frame)[None]
