"""Synthetic clips: frame i shows the bits of i as eight bright or dark columns over a faint noise."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

# suffix: (codec, pixel format)
CODECS = {
    '.mp4': ('libx264', 'yuv420p'),
    '.m4v': ('mpeg4', 'yuv420p'),
    '.mov': ('mpeg4', 'yuv420p'),
    '.avi': ('mpeg4', 'yuv420p'),
    '.gif': ('gif', 'rgb8'),
    '.mpeg': ('mpeg2video', 'yuv420p'),
    '.mpg': ('mpeg1video', 'yuv420p'),
    '.mkv': ('ffv1', 'yuv420p'),
    '.webm': ('libvpx', 'yuv420p'),
}


def draw(index: int, size: int = 64, color: bool = False) -> np.ndarray:
    """Frame (size, size, 3) whose columns show the bits of `index`, highest bit first."""
    bits = np.array([40 + 170 * (index >> bit & 1) for bit in range(7, -1, -1)])
    grey = np.repeat(bits, size // 8)[None].repeat(size, 0)
    grey = grey + np.random.default_rng(index).integers(-15, 16, grey.shape)
    frame = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    if color:
        frame[: size // 2] = frame[: size // 2] * np.array([1.0, 0.2, 0.2])
    return frame


def index_of(frame: np.ndarray) -> int:
    """The index that `draw` was given, also after lossy coding."""
    columns = frame.reshape(frame.shape[0], -1) if frame.ndim == 2 else frame[..., 0]
    bright = columns.mean(0).reshape(8, -1).mean(1) > 125
    return int(sum(int(bit) << (7 - k) for k, bit in enumerate(bright)))


def write_clip(
    path: Path,
    num_frames: int = 45,
    rate: int = 30,
    times: Sequence[float] | None = None,
    color: bool = False,
    muxer: str | None = None,
    **options: str,
) -> Path:
    """Write a clip; `times` are in seconds, by default i / rate."""
    codec, pixels = CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    ticks = 1000 if times is not None else rate
    with av.open(str(path), 'w', format=muxer, options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width = stream.height = 64
        stream.pix_fmt = pixels
        stream.bit_rate = 4_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, ticks)
        for index, time in enumerate(times or [i / rate for i in range(num_frames)]):
            frame = av.VideoFrame.from_ndarray(draw(index, color=color), format='rgb24').reformat(format=pixels)
            frame.time_base, frame.pts = Fraction(1, ticks), round(time * ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_frames(path: Path, frames: np.ndarray, rate: int) -> Path:
    """Write frames (N, H, W, 3), uint8, without loss; `path` should end in .mkv."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = 'bgr0'
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24').reformat(format='bgr0')))
        container.mux(stream.encode(None))
    return path
