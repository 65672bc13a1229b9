"""What a DICOM file says about its pictures, read without ever repeating a value of a file in a message.

A message of pydicom may quote what it found, so none is passed on: errors become a :class:`ClipError` in words of
our own, and warnings and log records are dropped.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from struct import unpack
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

from uscl.core.errors import ClipError

from .media_suffixes import DICOM_SUFFIXES

if TYPE_CHECKING:
    from pydicom import Dataset

TIMING = ('FrameIncrementPointer', 'FrameTime', 'FrameTimeVector', 'CineRate', 'RecommendedDisplayFrameRate')
_PIXEL_GROUP = 0x0028
_VECTOR = 0x00181065  # FrameTimeVector
_PREAMBLE = 128
_UNKNOWN_LENGTH = 0xFFFFFFFF


def is_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file: by its suffix, or, where it has no suffix of its own, by its content.

    Scanners write ``IM_0001`` or ``1.2.840.113``: names without a suffix, or that end in digits, are opened, if they
    are ordinary files. A ``DICOMDIR``, the index that lies beside them, is none.
    """
    suffix = path.suffix.lower()
    if suffix in DICOM_SUFFIXES:
        return path.name[0] != '.'
    if path.name.upper() == 'DICOMDIR' or not (suffix == '' or suffix[1:].isdecimal()):
        return False
    return path.is_file() and _has_preamble(path)  # is_file: opening a pipe would wait for ever


def import_pydicom(path: Path) -> ModuleType:
    """The optional package pydicom.

    Raises:
        ClipError: It is not installed.
    """
    try:
        import pydicom
    except ImportError:
        raise ClipError(path, "DICOM needs pydicom: pip install 'uscl_plugin[dicom]'") from None
    return pydicom


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
    """Read some elements of a DICOM file, and none of the others.

    Args:
        path: The file.
        keywords: DICOM keywords of the elements.
        pixels: Also read those that describe the pixels (group 0028), and check that pixels follow, as many bytes as
            are described.

    Raises:
        ClipError: Not a DICOM file, damaged, or, with ``pixels``, without (whole) pixel data.
    """
    pydicom = import_pydicom(path)
    try:
        if path.stat().st_size == 0:
            raise ClipError(path, 'the file is empty (0 bytes): copy or export it again')
        if not _has_preamble(path):
            raise ClipError(path, 'not a DICOM file (DICM is missing at byte 128): export it again, or rename it')
        tags: list = list(keywords)
        if pixels:
            tags += [tag for tag in pydicom.datadict.DicomDictionary if tag >> 16 == _PIXEL_GROUP]
        with silent(), path.open('rb') as file:
            elements = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=tags)
            if pixels:
                _check_pixels(path, elements, file)
        return elements
    except OSError as error:
        if error.strerror is None:
            raise ClipError(path, 'truncated or damaged: its header cannot be read; export it again') from None
        raise ClipError(path, f'the file cannot be opened ({error.strerror}): check its rights') from None
    except ClipError:
        raise
    except Exception:  # pydicom raises nearly anything for damaged content
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
    """An element's (first) value as a number; None if there is none."""
    value = value_of(elements, keyword)
    try:
        return float(value if not hasattr(value, '__len__') or isinstance(value, str) else value[0])
    except (TypeError, ValueError, IndexError):
        return None


def frame_times(elements: 'Dataset') -> tuple[list[float] | None, float | None]:
    """When the frames were taken, as the file says.

    FrameTimeVector where FrameIncrementPointer points to it, else FrameTime, the vector, CineRate,
    RecommendedDisplayFrameRate: the first that is there and sensible.

    Returns:
        The time of every frame in seconds, or None if one rate holds for all; and the (mean) rate in frames a second,
        or None if the file states none.
    """
    count = int(number_of(elements, 'NumberOfFrames') or 1)
    steps = value_of(elements, 'FrameTimeVector')
    times = None
    if steps is not None and hasattr(steps, '__len__') and 1 < len(steps) == count:
        with silent():
            times = list(accumulate([0.0, *(float(step) / 1000 for step in steps[1:])]))
        if sorted(times) != times or times[-1] <= 0:
            times = None
    frame_time = number_of(elements, 'FrameTime')
    pointer = value_of(elements, 'FrameIncrementPointer')
    pointers = [pointer] if isinstance(pointer, int) else pointer or []
    if times and (_VECTOR in pointers or not (frame_time and frame_time > 0)):
        return times, (count - 1) / times[-1]
    if frame_time and frame_time > 0:
        return None, 1000 / frame_time
    for keyword in ('CineRate', 'RecommendedDisplayFrameRate'):
        rate = number_of(elements, keyword)
        if rate and rate > 0:
            return None, rate
    return None, None


def _has_preamble(path: Path) -> bool:
    try:
        with path.open('rb') as file:
            file.seek(_PREAMBLE)
            return file.read(4) == b'DICM'
    except OSError:
        return False


def _check_pixels(path: Path, elements: 'Dataset', file: BinaryIO) -> None:
    """Compare the pixel element, at whose start the file stands, with its description."""
    from pydicom.pixels.utils import get_expected_length

    start = file.read(12)
    if len(start) < 12:
        raise ClipError(path, 'it holds no pixel data (a report, or cut short): leave it out, or export it again')
    syntax = elements.file_meta.TransferSyntaxUID
    if not syntax.is_transfer_syntax or syntax.is_encapsulated or syntax.is_deflated:
        return
    order = '<' if syntax.is_little_endian else '>'
    length = unpack(f'{order}L', start[4:8] if syntax.is_implicit_VR else start[8:])[0]
    expected = get_expected_length(elements)
    # Some writers pad; a frame too many means that the header is wrong.
    if not expected <= length < expected + max(2, expected // int(number_of(elements, 'NumberOfFrames') or 1)):
        raise ClipError(
            path, f'wrong size: {length} bytes of pixels, but its header describes {expected}; export it again'
        )
    held = path.stat().st_size - file.tell() + (4 if syntax.is_implicit_VR else 0)
    if held < expected:
        count = int(number_of(elements, 'NumberOfFrames') or 1)
        raise ClipError(
            path, f'truncated: it holds {held * count // expected} of {count} frames; copy or export it again'
        )
