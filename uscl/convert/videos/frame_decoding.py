"""Decode one video into the frames that are stored."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uscl.clips.frame_folder import FrameFolder
from uscl.clips.frame_preparation import is_grey, prepare_clip, prepare_frame, shrink, to_grey
from uscl.clips.stack_file import stack_files, stack_suffix
from uscl.convert.privacy.static_mask import StaticMask, find_static
from uscl.core.digest import digest, file_digest
from uscl.core.errors import ClipError
from uscl.data.fingerprints import thumbnail
from uscl.data.frame_store import StoredVideo
from uscl.data.png_frames import write_png
from uscl.data.signatures import sign_clip
from uscl.data.store_writer import append_shape

from .store_settings import StoreSettings

CONVERTER_VERSION = 4  # raise it when the same source and settings give other frames or facts: all are then redone
MASKED = 'masked'  # OUT/masked/NAME.png shows what was blanked


@dataclass(frozen=True)
class DecodedVideo:
    """A video whose frames are in a file of raw pixels.

    Attributes:
        shapes: See :func:`~uscl.data.store_writer.append_shape`.
        facts: ``source`` (bytes, mtime_ns, sha256), ``settings``, ``stored_as``, ``signature`` (see
            :func:`~uscl.data.signatures.sign_clip`), ``blanked_share``, and the facts of
            :class:`~uscl.clips.clip.Clip`.
    """

    shapes: list[list[int]]
    facts: dict[str, Any]


def is_current(source: Path, stored: StoredVideo | None, settings: StoreSettings) -> bool:
    """Whether a stored video has this version and these settings, and its source has not changed since.

    The source's size and modification time are compared, not its bytes.
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
        raw: File for the pixels, frame after frame: (H, W) grey or (H, W, 3) BGR, uint8; replaced if it exists.
        settings: See :class:`StoreSettings`.
        picture: File for a picture of what was blanked; None writes none.
        images: Folder for the frames as PNG files, to look at, replaced if it exists; None writes none.

    Raises:
        ClipError: The video cannot be used.
        OSError: The output cannot be written.
    """
    mask = _find_mask(source, settings)
    for grey in (False,) if settings.color == 'color' else (True, False):
        shapes, facts = _write_frames(source, raw, settings, mask, images, grey)
        if shapes:  # otherwise a coloured frame came up: start again, so that all frames are in colour
            break
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
    """The frames of a clip as :func:`decode_video` would store them.

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
    clip, mask = settings.open(source), _find_mask(source, settings)
    frames = clip if mask is None else _Blanked(clip, mask)
    try:
        return prepare_clip(frames, settings.size, settings.color), clip.times
    except ValueError as error:
        raise ClipError(source, str(error)) from error


def _find_mask(source: Path, settings: StoreSettings) -> StaticMask | None:
    if settings.mask_tolerance is None:
        return None
    return find_static(source, settings.open(source), settings.mask_tolerance, settings.open(source, every_frame=True))


def _write_frames(
    source: Path, raw: Path, settings: StoreSettings, mask: StaticMask | None, images: Path | None, grey: bool
) -> tuple[list[list[int]], dict]:
    """Write all frames, and return their shapes and facts; no shapes if they should be grey and one is coloured."""
    if images is not None:
        shutil.rmtree(images, ignore_errors=True)
        images.mkdir(parents=True)
    reader = settings.open(source)
    shapes: list[list[int]] = []
    thumbnails: list[np.ndarray] = []
    raw.unlink(missing_ok=True)
    with raw.open('xb') as file:  # not through a link
        for number, frame in enumerate(reader if mask is None else _Blanked(reader, mask)):
            if grey and settings.color == 'auto' and not is_grey(frame):
                return [], {}
            frame = prepare_frame(frame, settings.size, grey)
            append_shape(shapes, frame.shape)
            thumbnails.append(thumbnail(frame if grey else to_grey(frame)))
            file.write(np.ascontiguousarray(frame if grey else frame[..., ::-1]).data)
            if images is not None:
                write_png(images / f'{number:06d}.png', frame)
    stored_as = 'gray' if grey else 'color'
    return shapes, {'stored_as': stored_as, 'signature': sign_clip(thumbnails), **reader.facts}


@dataclass(frozen=True)
class _Blanked:
    """Frames with their static pixels blanked; can be iterated over repeatedly."""

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
        raise ClipError(source, f'{error.filename} cannot be read ({error.strerror}): check its rights') from error
    return digest(*digests) if source.is_dir() else digests[0]
