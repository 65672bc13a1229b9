"""Whether a clip's container is whole: the sizes that its headers declare, compared with the bytes in the file.

Decoders play what they can, so a clip that was cut short usually decodes without complaint. Its container still says
how long the file should be.
"""

import mmap
import struct
from pathlib import Path

from uscl.core.plurals import counted

_MATROSKA_HEADER = b'\x1a\x45\xdf\xa3'
_MATROSKA_SEGMENT = b'\x18\x53\x80\x67'
_MP4_FIRST_BOXES = {b'ftyp', b'moov', b'mdat', b'free', b'skip', b'wide', b'pnot'}
_MPEG_PACK, _MPEG_END = 0xBA, 0xB9


def find_missing_end(path: str | Path) -> str | None:
    """Find out whether a container ends earlier than its headers say.

    MP4/MOV, AVI, Matroska/WebM, GIF and MPEG program streams are recognised, by content, not by suffix. A cut goes
    unnoticed in a Matroska file or AVI that was written as a stream of unknown length, in a fragmented MP4 exactly
    between two fragments, and in an MPEG stream exactly between two packets.

    Args:
        path: The clip.

    Returns:
        What is missing, in plain words, or None if the container is whole or of another kind.
    """
    with Path(path).open('rb') as file:
        if not file.seek(0, 2):
            return 'the file is empty'
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:  # clips may be larger than memory
            return _find_missing_end(content)


def count_repeats(path: str | Path, stream: int) -> int:
    """Count the empty chunks of an AVI, which show the previous frame again.

    Writers with a steady rate insert them where a clip has a variable rate or lost its duplicates. The header counts
    them as frames, but FFmpeg does not return them.

    Args:
        path: The clip, not empty.
        stream: Index of the video stream.

    Returns:
        Their number; 0 for another kind of file.
    """
    repeats, position = 0, 0
    with Path(path).open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while content[:4] == b'RIFF' and position + 8 <= len(content):
            kind, size = struct.unpack('<4sI', content[position : position + 8])
            repeats += size == 0 and kind in (b'%02ddc' % stream, b'%02ddb' % stream)
            # A list's chunks follow its type. Chunks start at even bytes.
            position += 12 if kind in (b'RIFF', b'LIST') else 8 + size + size % 2
    return repeats


def _find_missing_end(content: mmap.mmap) -> str | None:
    if content[:4] == b'RIFF':
        return _check_riff(content)
    if content[:4] == _MATROSKA_HEADER:
        return _check_matroska(content)
    if content[:6] in (b'GIF87a', b'GIF89a'):
        return _check_gif(content)
    if content[:4] == b'\x00\x00\x01\xba':
        return _check_mpeg_program_stream(content)
    if content[4:8] in _MP4_FIRST_BOXES:
        return _check_mp4(content)
    return None


def _check_mp4(content: mmap.mmap) -> str | None:
    position, has_index = 0, False
    while position + 8 <= len(content):
        size, kind = struct.unpack('>I4s', content[position : position + 8])
        if size == 1 and position + 16 <= len(content):
            size = struct.unpack('>Q', content[position + 8 : position + 16])[0]
        elif size == 0:  # the last box may run to the end of the file
            size = len(content) - position
        if not kind.replace(b' ', b'').isalnum():  # appended data, not a box
            break
        has_index |= kind == b'moov'
        position += max(size, 8)
    no_index = None if has_index else 'its index (the moov box, which recorders write last) is missing'
    return _missing(content, position) or no_index


def _check_riff(content: mmap.mmap) -> str | None:
    position = 0
    while content[position : position + 4] == b'RIFF' and position + 8 <= len(content):  # OpenDML has several
        position += 8 + struct.unpack('<I', content[position + 4 : position + 8])[0]
    return _missing(content, position)


def _check_matroska(content: mmap.mmap) -> str | None:
    position = 4
    size, length = _read_ebml_size(content, position)
    position += length + size
    if content[position : position + 4] != _MATROSKA_SEGMENT:
        return 'its segment is missing' if position >= len(content) - 4 else None
    size, length = _read_ebml_size(content, position + 4)
    position += 4 + length + size
    if size == 2 ** (7 * length) - 1:  # unknown size: a live recording
        return None
    return _missing(content, position)


def _read_ebml_size(content: mmap.mmap, position: int) -> tuple[int, int]:
    first = content[position] if position < len(content) else 0x80
    length = 9 - first.bit_length()
    value = int.from_bytes(content[position : position + length], 'big')
    return value & (2 ** (7 * length) - 1), length


def _check_gif(content: mmap.mmap) -> str | None:
    try:
        position = 13 + _color_table_size(content[10])
        while content[position] != 0x3B:  # the trailer
            if content[position] == 0x2C:  # image: descriptor, its own colour table, code size, data
                position += 11 + _color_table_size(content[position + 9])
            elif content[position] == 0x21:  # extension
                position += 2
            else:
                return f'byte {position} starts no GIF block'
            while content[position]:
                position += content[position] + 1
            position += 1
    except IndexError:
        return 'its last GIF block is cut off'
    return None


def _color_table_size(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _check_mpeg_program_stream(content: mmap.mmap) -> str | None:
    position = 0
    while position < len(content):
        header = content[position : position + 14]
        if not header.strip(b'\x00') and not content[position:].strip(b'\x00'):  # padded to whole sectors
            return None
        if header[:3] != b'\x00\x00\x01' or len(header) < 6:
            return f'byte {position} starts no MPEG packet'
        if header[3] == _MPEG_END:
            return None
        if header[3] == _MPEG_PACK:
            is_mpeg2 = header[4] >> 6 == 1
            position += 14 + (header[-1] & 7) if is_mpeg2 else 12
        else:
            position += 6 + struct.unpack('>H', header[4:6])[0]
    return _missing(content, position)


def _missing(content: mmap.mmap, expected: int) -> str | None:
    missing = expected - len(content)
    return f'at least {counted(missing, "byte")} missing at its end' if missing > 0 else None
