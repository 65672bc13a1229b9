"""What a DICOM file says about its pictures, read so that no message ever quotes a value of the file.

pydicom's messages may quote what it found, so none is passed on: errors become a :class:`ClipError` in our own words,
and warnings and log records are dropped.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from struct import error as StructError
from struct import unpack, unpack_from
from typing import TYPE_CHECKING, Any, BinaryIO

from uscl.core.errors import ClipError
from uscl.core.plurals import counted

from .media_suffixes import CLIP_SUFFIXES, DICOM_SUFFIXES, IMAGE_SUFFIXES

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

_PIXEL_GROUP = 0x0028
_PREAMBLE = 128
_MARK = b'DICM'
# Value representations (PS3.5, 6.2) of elements in the first groups, and the only one of them with a long length.
_VRS = frozenset({b'AE', b'AS', b'CS', b'DA', b'DT', b'LO', b'OB', b'PN', b'SH', b'ST', b'TM', b'UI', b'UL', b'US'})
_LONG_VR = b'OB'
_FIRST_ELEMENT = 0x0018  # SOPInstanceUID: a data set starts at it or before
# How the first fragment of a frame starts: JPEG, JPEG-LS, JPEG 2000, JPEG 2000 in a JP2 file. Others continue a frame.
_FRAME_STARTS = (b'\xff\xd8\xff', b'\xff\x4f\xff\x51', b'\0\0\0\x0cjP  ')
_RLE_START = b'\x40\0\0\0'  # behind the number of segments: the first lies behind a header of 64 bytes


def is_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file: by its suffix, or, unless it has the suffix of another kind, by its content.

    Scanners write ``IM_0001``, ``1.2.840.113`` or ``x.ima``; of ordinary files with such names, 512 bytes are read.
    Without a preamble, the file must start with elements that start a data set. A ``DICOMDIR`` (the index of a folder)
    and hidden files do not count.
    """
    suffix = path.suffix.lower()
    if path.name.startswith('.') or path.name.upper() == 'DICOMDIR' or suffix in CLIP_SUFFIXES | IMAGE_SUFFIXES:
        return False
    return suffix in DICOM_SUFFIXES or (path.is_file() and _begins(path))  # opening a pipe would wait forever


@contextmanager
def silent() -> Iterator[None]:
    """Drop pydicom's (and Pillow's) warnings and log records, which may quote values of the file."""
    loggers = [logging.getLogger(name) for name in ('pydicom', 'PIL')]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def read_elements(path: Path, keywords: tuple[str, ...], pixels: bool = False) -> 'Dataset':
    """Read some elements of a DICOM file and no others.

    Args:
        path: The file.
        keywords: DICOM keywords of the elements.
        pixels: Also read the elements that describe the pixels (group 0028), and check that as many bytes of pixels
            follow.

    Raises:
        ClipError: Not a DICOM file, damaged, or, with ``pixels``, without (whole) pixel data.
    """
    try:
        import pydicom
    except ImportError:
        raise ClipError(path, "DICOM needs pydicom: pip install 'uscl_plugin[dicom]'") from None
    try:
        if path.stat().st_size == 0:
            raise ClipError(path, 'the file is empty (0 bytes): copy or export it again')
        if not _begins(path):
            raise ClipError(path, 'not a DICOM file (DICM is missing at byte 128): export it again, or rename it')
        tags: list = list(keywords)
        if pixels:
            tags += [tag for tag in pydicom.datadict.DicomDictionary if tag >> 16 == _PIXEL_GROUP]
        with silent(), path.open('rb') as file:
            # force: accept a missing preamble; _begins has checked the file
            elements = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags, force=True)
            if 'TransferSyntaxUID' not in elements.file_meta:
                elements.file_meta.TransferSyntaxUID = _find_syntax(elements)
            if pixels:
                _check_pixels(path, elements, file)
        return elements
    except ClipError:
        raise
    except Exception as error:  # pydicom raises nearly anything for damaged content, also OSError
        if isinstance(error, OSError) and error.strerror:
            raise ClipError(path, f'it cannot be opened ({error.strerror}): check its rights') from None
        raise ClipError(path, 'truncated or damaged: its header cannot be read; export it again') from None


def value_of(elements: 'Dataset', keyword: str) -> Any:
    """An element's value; None if it is absent, empty or not valid."""
    try:
        with silent():
            value = elements.get(keyword)
            return None if value is None or value == '' else value
    except Exception:
        return None


def number_of(elements: 'Dataset', keyword: str) -> float | None:
    """An element's (first) value as a finite number; None if there is none."""
    value = value_of(elements, keyword)
    try:
        number = float(value if not hasattr(value, '__len__') or isinstance(value, str) else value[0])
    except (TypeError, ValueError, IndexError):
        return None
    return number if isfinite(number) else None


def frame_count(elements: 'Dataset') -> int:
    """NumberOfFrames, which may be wrong; 1 where it is absent."""
    return int(number_of(elements, 'NumberOfFrames') or 1)


def _begins(path: Path) -> bool:
    """Whether a file starts like DICOM: with DICM after a preamble, or with two elements of a data set."""
    try:
        with path.open('rb') as file:
            start = file.read(512)
    except OSError:
        return False
    return start[_PREAMBLE:].startswith(_MARK) or any(_is_data_set(start, is_explicit) for is_explicit in (True, False))


def _is_data_set(start: bytes, is_explicit: bool) -> bool:
    """Whether bytes start with two elements of groups 0002 or 0008, in order and little endian (PS3.5, 7.1)."""
    position, tags = 0, []
    try:
        for _ in range(2):
            group, element, length = unpack_from('<HHL', start, position)
            vr = start[position + 4 : position + 6]
            position += 8
            if is_explicit:
                if vr not in _VRS:
                    return False
                length >>= 16
                if vr == _LONG_VR:
                    length = unpack_from('<L', start, position)[0]
                    position += 4
            # The file's own header (0002) is always explicit, and a group length (element 0) takes four bytes.
            is_known = group == 0x0008 or (group == 0x0002 and is_explicit)
            if not is_known or length % 2 or (not element and length != 4):
                return False
            tags.append((group, element))
            position += length
    except StructError:  # the second lies beyond what was read
        return False
    return tags[0][1] <= _FIRST_ELEMENT and tags[0] < tags[1]


def _find_syntax(elements: 'Dataset') -> 'UID':
    """The transfer syntax of a data set that does not name it, as detected by pydicom."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    is_implicit, is_little = elements.original_encoding
    return ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _check_pixels(path: Path, elements: 'Dataset', file: BinaryIO) -> None:
    """Compare the pixel element, at the current position of the file, with its description."""
    from pydicom.pixels.utils import get_expected_length

    start = file.read(12)
    if len(start) < 12:
        raise ClipError(path, 'no pixel data (a report, or cut short): leave it out, or export it again')
    syntax, count = elements.file_meta.TransferSyntaxUID, frame_count(elements)
    if not syntax.is_transfer_syntax or syntax.is_deflated:
        return
    if syntax.is_encapsulated:
        held = _count_frames(file)
        if held > count:
            raise _wrong_count(path, count, held)
        return
    order = '<' if syntax.is_little_endian else '>'
    length = unpack(f'{order}L', start[4:8] if syntax.is_implicit_VR else start[8:])[0]
    expected = get_expected_length(elements)
    # Some writers pad. A whole frame more means that the header is wrong.
    if not expected <= length < expected + max(2, expected // count):
        if length * count % expected == 0:
            raise _wrong_count(path, count, length * count // expected)
        raise ClipError(path, f'wrong size: {length} bytes of pixels, its header says {expected}; export it again')
    held = path.stat().st_size - file.tell() + (4 if syntax.is_implicit_VR else 0)
    if held < expected:
        found = held * count // expected
        raise ClipError(path, f'truncated: it holds {found} of {counted(count, "frame")}; copy or export it again')


def _wrong_count(path: Path, count: int, held: int) -> ClipError:
    return ClipError(path, f'its header says {counted(count, "frame")}, but it holds {held}: export it again')


def _count_frames(file: BinaryIO) -> int:
    """How many compressed frames follow: as the offset table lists, or as fragments start, whichever is more."""
    from pydicom.encaps import parse_basic_offsets, parse_fragments

    try:
        listed = len(parse_basic_offsets(file))
        _, fragments = parse_fragments(file)
    except (ValueError, StructError):  # damaged: decoding will report it
        return 0
    begun = 0
    for fragment in fragments:
        file.seek(fragment + 8)
        start = file.read(8)
        begun += start.startswith(_FRAME_STARTS) or start[4:] == _RLE_START
    return max(listed, begun)
