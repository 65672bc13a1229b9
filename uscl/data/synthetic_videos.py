"""A data folder of synthetic ultrasound clips for benchmarks: only the cost of decoding their pixels matters."""

from pathlib import Path

import cv2
import numpy as np

from .folder_writer import write_data_folder

CLASSES = ('speckle_a', 'speckle_b')
_GRAIN = 1.5  # standard deviation of a speckle in pixels


def speckle(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Fully developed speckle: the magnitude of filtered complex Gaussian noise, log-compressed as on a scanner.

    Args:
        height: In pixels.
        width: In pixels.
        rng: Generator of the noise.

    Returns:
        (height, width) uint8.
    """
    noise = rng.standard_normal((2, height, width), dtype=np.float32)
    real, imaginary = (cv2.GaussianBlur(part, (0, 0), _GRAIN) for part in noise)
    decibel = 20 * np.log10(np.hypot(real, imaginary) + 1e-6)
    return np.clip(255 * (decibel - decibel.max() + 50) / 50, 0, 255).astype(np.uint8)  # 50 dB dynamic range


def write_synthetic_videos(
    folder: str | Path, videos: int = 64, frames: int = 22, size: int = 256, seed: int = 0
) -> Path:
    """Write grey speckle clips in the converters' format: the frame store and the annotation.

    Each clip is a speckle pattern that drifts by a few pixels per frame. The same arguments give the same frames.

    Args:
        folder: Output folder, created if needed.
        videos: Number of clips V.
        frames: Number of frames per clip.
        size: Side length of a frame in pixels.
        seed: Seed of the noise.

    Returns:
        The folder.
    """
    made = []
    for number in range(videos):
        rng = np.random.default_rng([seed, number])
        label = CLASSES[number % 2]
        pattern, step = speckle(size + 4 * frames, size + 4 * frames, rng), rng.integers(0, 4, 2)
        shown = [pattern[top : top + size, left : left + size] for top, left in (k * step for k in range(frames))]
        made.append({'video_id': f'{label}/clip_{number:04d}', 'label': label, 'frames': shown})
    return write_data_folder(folder, made, classes=CLASSES, source='synthetic speckle')
