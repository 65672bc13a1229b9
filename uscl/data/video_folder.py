"""Read the videos of a data folder without any OpenMMLab package."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .annotations import read_annotations
from .frame_ids import split_frame_id
from .frame_loading import load_frame
from .frame_store import REMEDY, StoredVideo, find_stored, stored_damage
from .selection import select_split


class VideoFolder:
    """A data folder written by a converter: ``len(folder)`` videos; ``folder[i]`` is the data of one.

    Args:
        data_root: The folder.
        split: Keep only the videos of this split or these splits; None keeps all.

    Attributes:
        entries: Entries of the annotation.
        classes: Class names.

    The bytes of a video are verified against their checksum when it is first read.

    Raises:
        FileNotFoundError: The annotation or the store is missing.
        ValueError: The annotation or the store is damaged or has another version, or the split does not exist; on
            reading: the stored bytes differ from those converted.
    """

    def __init__(self, data_root: str | Path, split: str | Sequence[str] | None = None) -> None:
        self.data_root = Path(data_root).expanduser()
        path = self.data_root / 'annotations.json'
        annotations = read_annotations(path)
        self.classes: list[str] = annotations['metainfo']['classes']
        self.entries = select_split(annotations['data_list'], split, path)
        self._shards, self._stored = find_stored(self.data_root, self.entries)
        self._verified: set[str] = set()

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> dict:
        """The annotation entry plus ``frames``: arrays (H, W) or (H, W, 3), BGR, uint8.

        They form one read-only array (T, H, W) or (T, H, W, 3), memory-mapped; a list if their sizes differ.
        """
        entry = self.entries[index]
        return entry | {'frames': self._shards.frames(self._checked(entry['video_id']).places())}

    def load(self, index: int, positions: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Frames of a video, each (H, W, 3) uint8, RGB.

        Args:
            index: Index of the video.
            positions: Indices of the frames, from 0.
        """
        item = self[index]
        frames = (load_frame(item['frames'][k], video_id=item['video_id']) for k in positions)
        return [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]

    def facts(self, index: int) -> dict[str, Any]:
        """What the converter recorded about the source of a video."""
        return self._stored[self.entries[index]['video_id']].facts

    def frames(self, names: Iterable[str], color_type: str = 'color') -> Iterator[np.ndarray]:
        """Frames by name, see :func:`~uscl.data.frame_ids.frame_id`: (H, W, 3) uint8, BGR.

        Raises:
            ValueError: The folder does not have the frame.
        """
        for name in names:
            video_id, position = split_frame_id(name)
            stored = self._stored.get(video_id)
            if stored is None or not 0 <= position < stored.num_frames:
                raise ValueError(f'{self.data_root} has no frame {name!r}.')
            (frame,) = self._shards.frames(self._checked(video_id).places(position, 1))
            yield load_frame(frame, color_type, video_id)

    def _checked(self, video_id: str) -> StoredVideo:
        stored = self._stored[video_id]
        if video_id not in self._verified:
            if damage := stored_damage(self._shards, video_id, stored):
                raise ValueError(f'video {video_id!r}: {damage}: {REMEDY} to redo it, or copy the folder again.')
            self._verified.add(video_id)
        return stored
