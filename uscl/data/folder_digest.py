"""A digest that identifies a data folder."""

from pathlib import Path

from uscl.core.digest import digest

from .frame_store import read_index


def data_digest(data_root: str | Path, ann_file: str | Path | None = None) -> str:
    """SHA-256 over the annotation and the checksums of all stored videos: equal folders have equal digests.

    Args:
        data_root: Folder written by a converter.
        ann_file: Path of the annotation; None: ``annotations.json`` in the folder.

    Returns:
        64 hexadecimal digits, independent of which shard holds which video.

    Raises:
        OSError: The annotation or the store cannot be read.
        ValueError: The store is damaged or of another version.
    """
    folder = Path(data_root)
    videos = sorted(read_index(folder, with_facts=False).videos.items())
    facts = [f'{video_id} {video.shapes} {video.crc32}\n' for video_id, video in videos]
    return digest(Path(ann_file or folder / 'annotations.json').read_bytes(), *facts)
