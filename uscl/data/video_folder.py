"""The videos of a data folder, without any host."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .annotations import read_annotations
from .bad_videos import find_bad, judge
from .frame_loading import load_frame
from .frame_store import find_stored
from .selection import select_split


class VideoFolder:
    """A data folder that a converter wrote: ``len(folder)`` videos, ``folder[i]`` says what is known of one.

    Videos are verified when this is made, and bad ones dropped, as by
    ``VideoClusterDataset`` of the plugin, of which this is the part that PyTorch alone needs.

    Args:
        data_root: The folder.
        split: Keep only the videos of this split, or of several; None keeps all.
        max_bad: Share of the videos that may be bad, in [0, 1].

    Raises:
        FileNotFoundError: No annotation file, or frames of more videos than ``max_bad`` are gone.
        ValueError: The annotation or the store is damaged, or more videos than ``max_bad`` are bad.

    Warns:
        UserWarning: Bad videos were dropped, or a store lacks videos that it should have.
    """

    def __init__(self, data_root: str | Path, split: str | Sequence[str] | None = None, max_bad: float = 0.01) -> None:
        self.data_root = Path(data_root).expanduser()
        path = self.data_root / 'annotations.json'
        annotations = read_annotations(path)
        self.classes: list[str] = annotations['metainfo']['classes']
        entries = select_split(annotations['data_list'], split, path)
        self._shards, self._stored = find_stored(self.data_root, entries)
        bad = find_bad(self.data_root, entries, self._shards, self._stored)
        if bad:
            warnings.warn(judge(self.data_root, entries, bad, self._stored, max_bad), stacklevel=2)
        self.entries = [entry for entry in entries if entry['video_id'] not in bad]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict:
        """``video_id``, ``patient_id``, ``label``, ``split`` (each None where unknown) and ``frames``.

        ``frames`` are a read-only array (T, H, W) or (T, H, W, 3) uint8, BGR, mapped into memory, where the folder's
        store has the video, else its T paths; :func:`~uscl.data.frame_loading.load_frame` takes an item of either.
        """
        entry = self.entries[index]
        stored = self._stored.get(entry['video_id'])
        frames = [self.data_root / frame for frame in entry['frames']] if stored is None else None
        return entry | {'frames': frames if stored is None else self._shards.read(*stored.place)}

    def load(self, index: int, positions: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Frames of a video, each (H, W, 3) uint8; red, green, blue.

        Args:
            index: Of the video.
            positions: Of the frames, from 0.
        """
        item = self[index]
        return [load_frame(item['frames'][k], video_id=item['video_id'])[..., ::-1] for k in positions]
