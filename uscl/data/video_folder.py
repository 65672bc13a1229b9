"""The videos of a data folder, without any host."""

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
    """A data folder that a converter wrote: ``len(folder)`` videos, ``folder[i]`` is what is known of one.

    Args:
        data_root: The folder.
        split: Keep only the videos of this split, or of several; None keeps all.

    Attributes:
        entries: Of the annotation.
        classes: Class names.

    The bytes of a video are compared with their checksum when it is first read.

    Raises:
        FileNotFoundError: There is no annotation or no store.
        ValueError: The annotation or the store is damaged or of another version, or has no such split; of reading:
            what is stored is not what was converted.
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
        """The entry of the annotation with ``frames``: each an array (H, W) or (H, W, 3), blue, green, red; uint8.

        They are one read-only array (T, H, W) or (T, H, W, 3), mapped into memory; a list where they differ in size.
        """
        entry = self.entries[index]
        return entry | {'frames': self._shards.frames(self._checked(entry['video_id']).places())}

    def load(self, index: int, positions: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """Frames of a video, each (H, W, 3) uint8; red, green, blue.

        Args:
            index: Of the video.
            positions: Of the frames, from 0.
        """
        item = self[index]
        frames = (load_frame(item['frames'][k], video_id=item['video_id']) for k in positions)
        return [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]

    def facts(self, index: int) -> dict[str, Any]:
        """What the converter found out about the source of a video."""
        return self._stored[self.entries[index]['video_id']].facts

    def frames(self, names: Iterable[str], color_type: str = 'color') -> Iterator[np.ndarray]:
        """Frames by their names, see :func:`~uscl.data.frame_ids.frame_id`: (H, W, 3) uint8; blue, green, red.

        Raises:
            ValueError: The folder has no such frame.
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
            if damage := stored_damage(self._shards, stored):
                raise ValueError(f'video {video_id!r}: {damage}: {REMEDY}, which redoes it, or copy the folder again.')
            self._verified.add(video_id)
        return stored
