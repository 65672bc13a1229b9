"""Find image files that are gone or damaged before training rather than in the middle of the night."""

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

GONE = 'is gone'
_PNG, _JPEG, _JPEG_END = b'\x89PNG\r\n\x1a\n', b'\xff\xd8', b'\xff\xd9'


def frames_damage(data_root: str | Path, frames: Sequence[str]) -> str | None:
    """What is wrong with the image files of a video.

    Args:
        data_root: What the paths are relative to.
        frames: Their paths.

    Returns:
        The first file that is damaged, with the reason, and how many there are; None if all are whole.
    """
    found = [(path, damage) for path in (Path(data_root, frame) for frame in frames) if (damage := file_damage(path))]
    if not found:
        return None
    path, damage = found[0]
    return f'{path} {damage}' + (f', {len(found)} of its {len(frames)} frames are bad' if len(found) > 1 else '')


def file_damage(path: Path) -> str | None:
    """What is wrong with an image file, without decoding it where that can be helped (decoding takes 20 times as long).

    Every byte of a PNG file is compared with its checksums. A JPEG file has none: it should begin and end as one, so
    damage in between is not found. What ends otherwise, such as with bytes of another program's, and files of other
    kinds are decoded.

    Args:
        path: The file.

    Returns:
        A phrase that the path goes before; None if it is whole.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return GONE
    except OSError as error:
        return f'cannot be read ({error.strerror})'
    if not content:
        return 'is empty'
    if content.startswith(_PNG):
        return _png_damage(memoryview(content))
    if content.startswith(_JPEG) and content.endswith(_JPEG_END):
        return None
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except Exception as error:  # each of its decoders has errors of its own
        return f'cannot be decoded ({error})'
    return None


def _png_damage(content: memoryview) -> str | None:
    """Walk through the chunks: length (4 bytes), kind (4), data (length), CRC-32 of kind and data (4)."""
    start = len(_PNG)
    while start + 12 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4], 'big')
        if end + 4 > len(content):
            break
        if zlib.crc32(content[start + 4 : end]) != int.from_bytes(content[end : end + 4], 'big'):
            return f'is damaged (wrong checksum at byte {start})'
        if content[start + 4 : start + 8] == b'IEND':
            return None
        start = end + 4
    return 'is cut off'
