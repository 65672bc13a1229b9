"""Decode one video into the frames that are stored of it."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uscl.clips.frame_folder import FrameFolder
from uscl.clips.frame_preparation import is_grey, prepare_clip, shrink, to_grey
from uscl.clips.readers import open_clip
from uscl.clips.stack_file import stack_files, stack_suffix
from uscl.convert.privacy.static_mask import StaticMask, find_static
from uscl.core.digest import digest, file_digest
from uscl.core.errors import ClipError
from uscl.data.frame_store import StoredVideo
from uscl.data.png_frames import frame_name, write_png
from uscl.data.store_writer import append_shape

from .store_settings import StoreSettings

CONVERTER_VERSION = 3  # raise when the same source and settings give other frames: all videos are then redone
MASKED = 'masked'  # OUT/masked/NAME.png shows what was blanked


@dataclass(frozen=True)
class DecodedVideo:
    """A video whose frames are in a file of raw pixels.

    Attributes:
        shapes: See :func:`~uscl.data.store_writer.append_shape`.
        facts: ``source`` (bytes, mtime_ns, sha256), ``settings``, ``stored_as``, ``blanked_share`` and what the reader
            knows.
    """

    shapes: list[list[int]]
    facts: dict[str, Any]


def is_current(source: Path, stored: StoredVideo | None, settings: StoreSettings) -> bool:
    """Whether a stored video is of this version and these settings, and its source has not changed since.

    A source has not changed if its size and the time of its last change are the same; its bytes are not compared.
    """
    if stored is None:
        return False
    try:
        facts = stored.facts
        return (
            facts['converter_version'] == CONVERTER_VERSION
            and facts['settings'] == settings.of(source)
            and {key: facts['source'][key] for key in ('bytes', 'mtime_ns')} == _size_and_time(source)
        )
    except (OSError, ClipError, KeyError, TypeError):
        return False


def decode_video(
    source: Path, raw: Path, settings: StoreSettings, picture: Path | None = None, images: Path | None = None
) -> DecodedVideo:
    """Decode a video; runs in a worker process.

    Args:
        source: The clip, DICOM file or folder of frames.
        raw: File for the pixels, frame after frame: (H, W) grey or (H, W, 3) blue, green, red; uint8. An earlier one is
            replaced.
        settings: See :class:`StoreSettings`.
        picture: File for the picture of what was blanked, where that is asked for.
        images: Folder for the frames as PNG files, to look at; an earlier one is replaced.

    Raises:
        ClipError: The video cannot be used.
        OSError: Nothing can be written.
    """
    mask, decoded = _find_mask(source, settings), None
    if settings.color != 'color':
        decoded = _write_frames(source, raw, settings, mask, images, grey=True)
    if decoded is None:  # a coloured frame came up: start again, so that all frames are of one kind
        decoded = _write_frames(source, raw, settings, mask, images, grey=False)
    assert decoded is not None
    shapes, facts = decoded
    known = {
        'converter_version': CONVERTER_VERSION,
        'settings': settings.of(source),
        'source': _size_and_time(source) | {'sha256': _digest(source)},
        **({} if mask is None else {'blanked_share': round(mask.share, 6)}),
    }
    if mask is not None and picture is not None:
        picture.parent.mkdir(exist_ok=True)
        write_png(picture, shrink(mask.draw(), settings.size))
    return DecodedVideo(shapes, known | facts)


def read_as_stored(source: str | Path, settings: StoreSettings) -> tuple[list[np.ndarray], list[float] | None]:
    """The frames that :func:`decode_video` would store of a clip, without storing them.

    Args:
        source: See :func:`uscl.clips.open_clip`.
        settings: See :class:`StoreSettings`.

    Returns:
        Frames, (h, w) each if the clip is stored in grey, else (h, w, 3), RGB; uint8. And their times in seconds, see
        :attr:`uscl.clips.readers.Clip.times`.

    Raises:
        ClipError: The clip cannot be used, or its frames do not fit into memory.
    """
    source = Path(source)
    clip, mask = open_clip(source, settings.fps, settings.min_frames), _find_mask(source, settings)
    frames = clip if mask is None else _Blanked(clip, mask)
    try:
        return prepare_clip(frames, settings.size, settings.color), clip.times
    except ValueError as error:
        raise ClipError(source, str(error)) from error


def _find_mask(source: Path, settings: StoreSettings) -> StaticMask | None:
    if settings.mask_tolerance is None:
        return None
    frames = open_clip(source, settings.fps, settings.min_frames)
    return find_static(source, frames, settings.mask_tolerance, open_clip(source))


def _write_frames(
    source: Path, raw: Path, settings: StoreSettings, mask: StaticMask | None, images: Path | None, grey: bool
) -> tuple[list[list[int]], dict] | None:
    """Write all frames; None as soon as a frame needs colour after all."""
    if images is not None:
        shutil.rmtree(images, ignore_errors=True)
        images.mkdir(parents=True)
    reader = open_clip(source, settings.fps, settings.min_frames)
    shapes: list[list[int]] = []
    with raw.open('wb') as file:
        for number, frame in enumerate(reader if mask is None else _Blanked(reader, mask)):
            if grey and settings.color == 'auto' and not is_grey(frame):
                return None
            frame = shrink(to_grey(frame) if grey else frame, settings.size)
            append_shape(shapes, frame.shape)
            file.write(np.ascontiguousarray(frame if grey else frame[..., ::-1]).data)
            if images is not None:
                write_png(images / frame_name(number), frame)
    return shapes, {'stored_as': 'gray' if grey else 'color', **reader.facts}


@dataclass(frozen=True)
class _Blanked:
    """Frames with their static pixels blanked, as often as they are asked for."""

    frames: Iterable[np.ndarray]
    mask: StaticMask

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self.mask.blank, self.frames)


def _files_of(source: Path) -> list[Path]:
    if source.is_dir():
        return FrameFolder(source).list_files()
    return stack_files(source) if stack_suffix(source) else [source]


def _size_and_time(source: Path) -> dict[str, int]:
    files = _files_of(source)
    times = [file.stat().st_mtime_ns for file in [source, *files]]
    return {'bytes': sum(file.stat().st_size for file in files), 'mtime_ns': max(times)}


def _digest(source: Path) -> str:
    try:
        digests = [file_digest(file) for file in _files_of(source)]
    except OSError as error:
        raise ClipError(source, f'{error.filename} cannot be read ({error.strerror})') from error
    return digest(*digests) if source.is_dir() else digests[0]
