"""The one way to open an image file: which formats, how large, upright, and how deep grey becomes 8 bits."""

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from .frame_limits import LARGEST_FRAME, check_size
from .grey_range import scale_to_unit

# Pillow knows more, but some start programs (PostScript: Ghostscript).
_FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'TIFF', 'WEBP')
_STACKED = ('PNG', 'TIFF', 'WEBP')  # their pages are frames; a JPEG's second picture is another view of the first
# What turns an image upright, by EXIF orientation; angles are clockwise.
_TURNS = {
    2: (Image.Transpose.FLIP_LEFT_RIGHT, 'mirrored'),
    3: (Image.Transpose.ROTATE_180, 'rotated 180°'),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, 'mirrored and rotated 180°'),
    5: (Image.Transpose.TRANSPOSE, 'mirrored and rotated 270°'),
    6: (Image.Transpose.ROTATE_270, 'rotated 90°'),
    7: (Image.Transpose.TRANSVERSE, 'mirrored and rotated 90°'),
    8: (Image.Transpose.ROTATE_90, 'rotated 270°'),
}
_ORIENTATION = 0x0112
_SUBFILE_TYPE, _BITS, _PHOTOMETRIC, _DESCRIPTION, _SAMPLE_FORMAT = 254, 258, 262, 270, 339  # tags of TIFF
_THUMBNAIL_OR_MASK = 0b101
# Pillow's warning if the directory of a TIFF page is cut; it then takes the previous page as the last one.
_CUT = re.compile('Truncated|Corrupt|Possibly corrupt')
_IMAGEJ = re.compile(r'^images=(\d+)$', re.MULTILINE)  # above 4 GB, ImageJ only describes the first page


def open_image(path: Path) -> Image.Image:
    """Decode an image file (the first page if there are several), upright, in Pillow's mode for its pixels.

    Raises:
        ValueError: It cannot be decoded, is of another format, or is too large.
    """
    try:
        pages = iter_pages(path)  # kept, since the file closes with it
        image = next(pages)
        image.load()
        upright = _turn(image, image)
        upright.format = image.format
        return upright
    except Exception as error:
        raise ValueError(reason_of(error)) from error


def read_frame(path: Path) -> tuple[np.ndarray, dict]:
    """Decode an image file (the first page if there are several) as the only frame of a clip.

    Returns:
        RGB, (H, W, 3), uint8; and ``turned`` and ``rescaled`` as in :attr:`uscl.clips.clip.Clip.facts`.

    Raises:
        ValueError: It cannot be decoded, is of another format, or is too large.
    """
    try:
        limits = find_range(islice(iter_pages(path), 1))
        pages = iter_pages(path)
        frame, turned, depth = decode_page(next(pages), limits)
        return frame, ({'turned': turned} if turned else {}) | ({'rescaled': [depth]} if depth else {})
    except Exception as error:
        raise ValueError(reason_of(error)) from error


@contextmanager
def open_header(path: Path) -> Iterator[Image.Image]:
    """Open an image file without decoding it, for its format, size and metadata.

    Raises:
        Exception: Pillow's error for another format or damaged content, see :func:`reason_of`.
    """
    # Not by path: Pillow 12 would map an uncompressed TIFF into memory, and ignore its orientation.
    with path.open('rb') as file:
        with warnings.catch_warnings(record=True) as caught:  # also those about large images: our limit is lower
            warnings.simplefilter('always')
            image = Image.open(file, formats=_FORMATS)
        if image.format == 'TIFF' and (cut := [str(one.message) for one in caught if _CUT.match(str(one.message))]):
            raise ValueError(cut[0])
        with image:
            yield image


def is_stack(path: Path) -> bool:
    """Whether an image file holds several frames (a TIFF with pages, an animated PNG or WebP), by its header."""
    try:
        with open_header(path) as file:
            if file.format == 'TIFF':
                return len(list(islice(_seek_pages(file), 2))) > 1
            return file.format in _STACKED and getattr(file, 'n_frames', 1) - _first_page(file) > 1
    except Exception:  # reading it will report the fault
        return False


def iter_pages(path: Path) -> Iterator[Image.Image]:
    """The frames of an image file, not decoded yet; each is valid until the next is requested.

    Thumbnails and masks among the pages of a TIFF are left out.

    Raises:
        ValueError: A page is too large, or missing.
        Exception: Pillow's error for damaged content, see :func:`reason_of`.
    """
    with open_header(path) as file:
        if file.format not in _STACKED:
            check_size(*file.size)
            yield file
            return
        for _ in _seek_pages(file):
            check_size(*file.size)
            yield file


def find_range(pages: Iterable[Image.Image]) -> tuple[float, float] | None:
    """Lowest and highest value in the pages with deep grey; None if all have 8 bits. One at a time is held."""
    low, high = np.inf, -np.inf
    for page in pages:
        if page.mode[0] in 'IF':
            values = _deep_values(page)
            low, high = min(low, float(values.min())), max(high, float(values.max()))
        elif page.format != 'TIFF':  # the pages of other formats are all of one kind
            break
    return (low, high) if low <= high else None


def decode_page(page: Image.Image, limits: tuple[float, float] | None) -> tuple[np.ndarray, str | None, str | None]:
    """Decode a page of :func:`iter_pages`.

    Grey with more than 8 bits is scaled so that ``limits`` become black and white, as in DICOM without a window; 16-bit
    colours keep the upper eight bits; transparency is dropped.

    Args:
        page: Not decoded yet.
        limits: Those of the whole clip, by :func:`find_range`.

    Returns:
        RGB, (H, W, 3), uint8; how it was turned upright, or None; which levels were scaled to 8 bits, or None.
    """
    has_deep_colours = any(';16' in str(tile) for tile in getattr(page, 'tile', ()))  # known only before decoding
    turned = _TURNS.get(_orientation(page), (None, None))[1]
    page.load()
    if page.mode == 'L' and _tag(page, _SAMPLE_FORMAT) == (2,):
        raise ValueError('signed 8-bit pixels; store unsigned ones')  # Pillow would read -1 as 255
    if page.mode[0] in 'IF' and limits is not None:
        frame, depth = _scale(page, limits), f'grey levels {limits[0]:.10g} to {limits[1]:.10g}'
    else:
        frame, depth = page.convert('RGB'), 'levels 0 to 65535' if has_deep_colours else ''
    return np.array(_turn(frame, page)), turned, depth or None


def reason_of(error: Exception) -> str:
    """Why an image cannot be read; each of Pillow's decoders has its own errors."""
    if isinstance(error, Image.DecompressionBombError):
        return f'wrong size: more than {LARGEST_FRAME} pixels'
    if isinstance(error, UnidentifiedImageError):  # its text contains the whole path
        return f'none of {", ".join(_FORMATS)}, or of an unknown kind'
    return str(error) or type(error).__name__  # such as MemoryError


def _first_page(file: Image.Image) -> int:
    return int(getattr(file, 'default_image', False))  # skip what programs without animated PNG show instead


def _seek_pages(file: Image.Image) -> Iterator[int]:
    first = page = _first_page(file)
    while True:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings('error', _CUT.pattern, UserWarning)
                file.seek(page)
        except EOFError:
            break
        if page == first or file.format != 'TIFF' or not _tag(file, _SUBFILE_TYPE, 0) & _THUMBNAIL_OR_MASK:
            yield page
        page += 1
    stated = _IMAGEJ.search(str(_tag(file, _DESCRIPTION)))
    expected = int(stated[1]) if stated else getattr(file, 'n_frames', page)
    if page < expected:
        raise ValueError(f'it has {page} of {expected} pages')


def _tag(image: Image.Image, number: int, default: Any = None) -> Any:
    return getattr(image, 'tag_v2', {}).get(number, default)


def _orientation(image: Image.Image) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)
            return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata of a whole image: shown as stored, as in viewers
        return 1


def _turn(image: Image.Image, source: Image.Image) -> Image.Image:
    """Apply the source's orientation after decoding; for a TIFF, Pillow already has."""
    method = None if source.format == 'TIFF' else _TURNS.get(_orientation(source), (None, None))[0]
    return image.copy() if method is None else image.transpose(method)


def _deep_values(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    if values.dtype == np.int32 and _tag(image, _BITS) == (32,) and _tag(image, _SAMPLE_FORMAT, (1,)) == (1,):
        values = values.view(np.uint32)  # Pillow has no such mode
    if not np.isfinite(values).all():
        raise ValueError('some pixels are not numbers; store finite ones')
    return values


def _scale(image: Image.Image, limits: tuple[float, float]) -> Image.Image:
    unit = scale_to_unit(_deep_values(image), limits)
    if _tag(image, _PHOTOMETRIC) == 0:  # white is zero; Pillow only inverts 8 bits
        unit = 1 - unit
    return Image.fromarray(np.rint(unit * 255).astype(np.uint8)).convert('RGB')
