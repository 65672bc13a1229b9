"""Find missing image files before training rather than in the middle of the night."""

from collections.abc import Sequence
from pathlib import Path


def check_files(data_root: str | Path, videos: Sequence[dict], ann_file: str) -> None:
    """Check that the image files of videos are there, by listing each folder once.

    Args:
        data_root: What the paths are relative to.
        videos: Dicts with ``video_id`` and ``frames``.
        ann_file: Where they are listed, for the message.

    Raises:
        FileNotFoundError: Some are gone.
    """
    missing = []
    present: dict[Path, set[str]] = {}
    for video in videos:
        for frame in video['frames']:
            path = Path(data_root, frame)
            if path.parent not in present:
                present[path.parent] = (
                    {entry.name for entry in path.parent.iterdir()} if path.parent.is_dir() else set()
                )
            if path.name not in present[path.parent]:
                missing.append((video['video_id'], path))
    if missing:
        num_videos = len({video_id for video_id, _ in missing})
        raise FileNotFoundError(
            f'{len(missing)} frames of {num_videos} videos that {ann_file} lists are gone, first '
            f'{missing[0][1]} of video {missing[0][0]!r}: run the converter again, it redoes what is incomplete.'
        )
