"""Pictures of what a detector finds, a file for every frame."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from uscl.core.atomic_files import write_atomically
from uscl.reports.detection_pictures import draw_found

from .lesion_detector import Lesion


class OverlayWriter:
    """Writes ``CLIP_0001.png``, ``CLIP_0002.png``, … to one folder, whatever the clips are called.

    Args:
        folder: Created if needed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._used: set[str] = set()

    def of_clip(self, name: str) -> Callable[[int, np.ndarray, list[Lesion]], None]:
        """What draws the frames of one clip.

        Args:
            name: Name of the clip, possibly with folders; no two clips share files, even if they share a name.
        """
        base = stem = re.sub(r'[^\w.+-]+', '_', name.replace('/', '__'))
        number = 1
        while stem.lower() in self._used:  # some file systems know no case
            number += 1
            stem = f'{base}-{number}'
        self._used.add(stem.lower())
        return partial(self._draw, stem)

    def _draw(self, stem: str, number: int, frame: np.ndarray, lesions: list[Lesion]) -> None:
        found = [(lesion.box, lesion.mask, f'{lesion.kind} {lesion.score:.2f}') for lesion in lesions]
        picture = draw_found(frame, found)
        path = self.folder / f'{stem}_{number:04d}.png'
        write_atomically(path, lambda temporary: picture.save(temporary, format='PNG'))
