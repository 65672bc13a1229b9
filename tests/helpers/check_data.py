"""Small data folders of moving textures, which the checks can tell apart and recognise."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from uscl.data.folder_writer import write_data_folder

Frames = list[np.ndarray]


def texture(seed: int, num_frames: int = 6, height: int = 96, width: int = 120, motion: int = 1) -> Frames:
    """A clip: (height, width) uint8 frames, a smooth random picture in a sector that moves by `motion` px a frame."""
    rng = np.random.default_rng(seed)
    wide = width + motion * num_frames
    picture = sum(cv2.GaussianBlur(rng.normal(size=(height, wide)), (0, 0), sigma) * sigma for sigma in (3, 6, 12))
    picture = 110 + 45 * picture / picture.std()
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(y, x - width / 2) < height  # the same black corners in every clip, as of one scanner
    return [
        np.where(inside, np.clip(picture[:, motion * k : motion * k + width], 0, 255), 0).astype(np.uint8)
        for k in range(num_frames)
    ]


def alike(seed: int, num_frames: int, mirrored: bool = False) -> Frames:
    """Frames of another lung on the scanner of `texture(seed)`: the similarity is about 0.9 for seeds 1, 2, 4 and 5."""
    pairs = zip(texture(seed, num_frames), texture(1000 + seed % 2, num_frames), strict=True)
    mixed = [np.rint(0.65 * one + 0.35 * other).astype(np.uint8) for one, other in pairs]
    return [frame[:, :: -1 if mirrored else 1] for frame in mixed]


def write_data(folder: Path, clips: dict[str, tuple], **metainfo) -> Path:
    """Write `{video id: (frames, label, patient, split)}`, of which patient and split may be missing."""
    made = []
    for video_id, (frames, label, *rest) in clips.items():
        patient, split = [*rest, None, None][:2]
        made.append(dict(video_id=video_id, patient_id=patient, label=label, split=split, frames=frames))
    return write_data_folder(folder, made, **metainfo)


def crop(top: float, bottom: float, left: float, right: float) -> Callable[[np.ndarray], np.ndarray]:
    """A function that cuts shares off a frame."""

    def cut(frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape
        rows = slice(round(top * height), height - round(bottom * height))
        return frame[rows, round(left * width) : width - round(right * width)]

    return cut


def jpeg(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function that compresses a frame."""
    return lambda frame: cv2.imdecode(cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)


ALTERATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'half size': lambda frame: cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    'other aspect ratio': lambda frame: cv2.resize(frame, (150, 90), interpolation=cv2.INTER_AREA),
    'JPEG': jpeg(30),
    'cropped 3 %': crop(0.03, 0.03, 0.03, 0.03),
    'cropped 5 %': crop(0.05, 0.05, 0.05, 0.05),
    'cropped at the top': crop(0.05, 0, 0, 0),
    'cropped at the right': crop(0, 0, 0, 0.05),
    'brighter': lambda frame: np.clip(1.3 * frame + 20.0, 0, 255).astype(np.uint8),
    'darker': lambda frame: np.clip(0.7 * frame, 0, 255).astype(np.uint8),
    'gamma': lambda frame: (255 * (frame / 255.0) ** 0.7).astype(np.uint8),
}
