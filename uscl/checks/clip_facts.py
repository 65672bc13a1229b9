"""Read each frame of a dataset once and keep what the checks need. No other module of the checks reads frames."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uscl.data.fingerprints import thumbnail
from uscl.data.frame_loading import load_frame
from uscl.data.video_folder import VideoFolder

MAX_THUMBNAILS = 32  # per clip, evenly spaced: 74 kB


@dataclass(frozen=True, eq=False)
class Clip:
    """What the checks keep of a video, without its frames.

    Attributes:
        data: The data folder, as given.
        video_id: Unique within the data folder.
        patient_id: None if unknown.
        label: None if unlabelled.
        split: None if the video has no split.
        sources: The frames in time order, each (H, W) or (H, W, 3) uint8.
        shapes: Distinct heights and widths of the frames, in order of appearance.
        digests: (frames,) Digest of each frame's grey values and shape.
        contrast: (frames,) float32, standard deviation of each frame's grey values.
        thumbnails: (n, SIDE, SIDE) uint8, thumbnails of at most :data:`MAX_THUMBNAILS` frames.
        positions: (n,) int, indices of these frames.
        source_digest: SHA-256 of the source file; None if unknown.
        facts: What the converter recorded about the source.
    """

    data: str
    video_id: str
    patient_id: str | None
    label: str | None
    split: str | None
    sources: Sequence[Any] = field(repr=False)
    shapes: list[tuple[int, int]]
    digests: list[bytes] = field(repr=False)
    contrast: np.ndarray = field(repr=False)
    thumbnails: np.ndarray = field(repr=False)
    positions: np.ndarray = field(repr=False)
    source_digest: str | None = None
    facts: dict = field(repr=False, default_factory=dict)

    @property
    def name(self) -> str:
        """Display name: the video and its patient."""
        return f'{self.video_id} ({describe_patient(self.patient_id)})'


def describe_patient(patient_id: str | None) -> str:
    """The patient, for messages."""
    return 'patient unknown' if patient_id is None else f'patient {patient_id}'


def read_frame(clip: Clip, position: int) -> np.ndarray:
    """One frame of a clip in greyscale, (H, W) uint8."""
    return next(_read_frames(clip.sources, clip.video_id, [position]))


def read_clips(data: str | Path, threads: int | None = None) -> Iterator[Clip]:
    """Read the clips of a data folder in annotation order; each frame is dropped once measured.

    Args:
        data: Folder written by a converter.
        threads: Number of decoding threads; None: one per core, at most eight.

    Raises:
        FileNotFoundError: The annotation or frames are missing.
        ValueError: The annotation is invalid or empty, or a frame is not an image; the message names it and the remedy.
    """
    folder = VideoFolder(data)
    if not len(folder):
        raise ValueError(
            f'{folder.data_root}/annotations.json lists no videos: run the converter on a folder that contains clips.'
        )
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(
            lambda index: _measure(str(data), folder[index], folder.facts(index)),
            range(len(folder)),
        )


def read_thumbnails(folder: VideoFolder, index: int) -> np.ndarray:
    """Thumbnails of a video, as in :class:`Clip`: (n, SIDE, SIDE) uint8."""
    entry = folder[index]
    sources = entry['frames']
    frames = _read_frames(sources, entry['video_id'], thumbnail_positions(len(sources)).tolist())
    return np.stack([thumbnail(frame) for frame in frames])


def thumbnail_positions(count: int) -> np.ndarray:
    """Which of ``count`` frames have thumbnails: at most :data:`MAX_THUMBNAILS`, evenly spaced, int."""
    return np.unique(np.linspace(0, count - 1, min(MAX_THUMBNAILS, count)).round().astype(int))


def _measure(data: str, entry: dict, facts: dict) -> Clip:
    sources = entry['frames']
    positions = thumbnail_positions(len(sources))
    shapes: dict[tuple[int, int], None] = {}
    digests, contrast, thumbnails, kept = [], [], [], set(positions.tolist())
    for position, frame in enumerate(_read_frames(sources, entry['video_id'], range(len(sources)))):
        shapes[frame.shape[0], frame.shape[1]] = None
        digests.append(hashlib.blake2b(frame.tobytes(), digest_size=16, salt=repr(frame.shape).encode()[:16]).digest())
        contrast.append(frame.std())
        if position in kept:
            thumbnails.append(thumbnail(frame))
    return Clip(
        data=data,
        video_id=entry['video_id'],
        patient_id=entry['patient_id'],
        label=entry['label'],
        split=entry['split'],
        sources=sources,
        shapes=list(shapes),
        digests=digests,
        contrast=np.array(contrast, np.float32),
        thumbnails=np.stack(thumbnails),
        positions=positions,
        source_digest=entry['sha256'],
        facts=facts,
    )


def _read_frames(sources: Sequence, video_id: str, positions: Sequence[int]) -> Iterator[np.ndarray]:
    for position in positions:
        yield np.ascontiguousarray(load_frame(sources[position], 'grayscale', video_id)[..., 0])
