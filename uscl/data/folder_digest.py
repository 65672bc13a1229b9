"""What tells a data folder from others."""

from pathlib import Path

from uscl.core.digest import digest

from .frame_store import read_index


def data_digest(data_root: str | Path, ann_file: str | Path | None = None) -> str:
    """SHA-256 of the annotation and of the checksums of all stored videos: equal folders have equal digests.

    Args:
        data_root: The folder that a converter wrote.
        ann_file: Path of the annotation; None: ``annotations.json`` in the folder.

    Returns:
        64 hexadecimal digits. It does not depend on which shard holds a video.

    Raises:
        OSError: The annotation or the store cannot be read.
        ValueError: The store is damaged or of another version.
    """
    folder = Path(data_root)
    videos = sorted(read_index(folder).videos.items())
    facts = [f'{video_id} {video.shapes} {video.crc32}\n' for video_id, video in videos]
    return digest(Path(ann_file or folder / 'annotations.json').read_bytes(), *facts)
