"""Load one frame of a data folder, from its image file or from the store."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

COLOR_TYPES = ('color', 'grayscale', 'unchanged')
# cv2.IMREAD_UNCHANGED would keep transparency and ignore the orientation of photographs; without ANYDEPTH, 12-bit
# images would become nearly black instead of being rejected.
_FLAGS = {
    'color': cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
    'grayscale': cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
    'unchanged': cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH,
}


def load_frame(
    source: str | os.PathLike | np.ndarray,
    color_type: str = 'color',
    video_id: str = '(no id)',
    read: Callable[[Any], bytes] = lambda path: Path(path).read_bytes(),
) -> np.ndarray:
    """Load a frame.

    Args:
        source: A path, or the stored frame: (H, W) or (H, W, 3) uint8, BGR.
        color_type: 'color' keeps colour; 'grayscale' reads grey and repeats it over three channels; 'unchanged' keeps
            grey as one channel and passes arrays through without copying.
        video_id: For messages.
        read: Function that reads a path, such as :func:`mmengine.fileio.get`.

    Returns:
        (H, W, 3) uint8, BGR; with 'unchanged', (H, W, 1) if it is stored as grey.

    Raises:
        FileNotFoundError: The file no longer exists.
        ValueError: The source is not a readable image, or an array of the wrong shape or dtype.
    """
    image: np.ndarray | None
    if isinstance(source, np.ndarray):
        image = source
    else:
        try:
            content = read(source)
        except FileNotFoundError as error:
            what = f'frame {os.fspath(source)} of video {video_id!r} is missing'
            raise FileNotFoundError(f'{what}: correct its path, or run the converter again.') from error
        image = cv2.imdecode(np.frombuffer(content, np.uint8), _FLAGS[color_type]) if content else None
    if image is None or image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (1,), (3,)):
        what = 'cannot be decoded as an image' if image is None else f'has shape {image.shape} and dtype {image.dtype}'
        name = 'given as an array' if isinstance(source, np.ndarray) else os.fspath(source)
        raise ValueError(f'frame {name} of video {video_id!r} {what}: run the converter again on this video.')
    if color_type == 'grayscale' and image.shape[2:] == (3,):
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    if color_type == 'unchanged':
        return image.reshape(*image.shape[:2], -1)
    if image.shape[2:] != (3,):
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return image
