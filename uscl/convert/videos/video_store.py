"""Store one video as a folder of PNG frames with a manifest, in one step and only when needed.

``OUT/frames/NAME/`` holds ``000000.png…`` and ``video.json``. It is written under a temporary name and renamed when
whole, so that a folder without the temporary prefix is always complete.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from uscl.clips import open_clip
from uscl.clips.frame_folder import FrameFolder
from uscl.clips.frame_preparation import is_grey, shrink, to_grey
from uscl.convert.privacy.static_mask import StaticMask, find_static
from uscl.core.errors import ClipError
from uscl.data.png_frames import frame_name, write_png
from uscl.data.video_manifest import MANIFEST

CONVERTER_VERSION = 1  # raise when the same source and settings give other frames: all videos are then redone
MASKED = 'masked'  # OUT/masked/NAME.png shows what was blanked
TEMPORARY_PREFIX = '.tmp-'
COLOR_MODES = ('auto', 'gray', 'color')


@dataclass(frozen=True)
class StoreSettings:
    """What the stored frames depend on besides the source.

    Attributes:
        fps: Frames to keep in a second of a clip; folders of frames are kept whole.
        size: Largest shorter side in pixels.
        color: 'gray', 'color', or 'auto': gray if every frame of the video is.
        mask_tolerance: Blank the pixels that never move by more grey levels than this; None blanks nothing.
    """

    fps: float = 3.0
    size: int = 256
    color: str = 'auto'
    mask_tolerance: int | None = None


def find_complete(source: Path, folder: Path, settings: StoreSettings) -> list[str] | None:
    """Frame names of a video that is stored already and up to date, else None.

    Up to date means: written by this version with the same settings, from a source of the same size that was not
    modified afterwards, and with every frame still there and not empty.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
        written = (folder / MANIFEST).stat().st_mtime_ns
        files = _files_of(source)
        is_current = (
            manifest['converter_version'] == CONVERTER_VERSION
            and manifest['settings'] == _settings_of(source, settings)
            and manifest['source']['bytes'] == sum(file.stat().st_size for file in files)
            and max(file.stat().st_mtime_ns for file in [source, *files]) <= written
            and set(manifest['frames']) <= {file.name for file in folder.iterdir() if file.stat().st_size}
        )
        return manifest['frames'] if is_current else None
    except (OSError, ClipError, ValueError, KeyError, TypeError, RecursionError):  # no manifest, or none of ours
        return None


def store_video(video_id: str, source: Path, folder: Path, settings: StoreSettings) -> list[str]:
    """Decode a video and write its folder; an earlier version of the folder is replaced.

    Args:
        video_id: Goes into the manifest.
        source: The clip or folder of frames.
        folder: The folder to make; its parent must exist.
        settings: See :class:`StoreSettings`.

    Returns:
        The frames' file names in time order.

    Raises:
        ClipError: The video cannot be used; an earlier version of ``folder`` stays as it is.
        OSError: The frames cannot be written.
    """
    temporary = folder.with_name(TEMPORARY_PREFIX + folder.name)
    _remove(temporary)
    try:
        mask, manifest = None, None
        if settings.mask_tolerance is not None:
            every_frame = open_clip(source)
            mask = find_static(source, open_clip(source, settings.fps), settings.mask_tolerance, every_frame)
        if settings.color != 'color':
            manifest = _write_frames(source, temporary, settings, mask, grey=True)
        if manifest is None:  # a coloured frame came up: start again, so that all frames are of one kind
            _remove(temporary)
            manifest = _write_frames(source, temporary, settings, mask, grey=False)
        assert manifest is not None
        manifest = {
            'converter_version': CONVERTER_VERSION,
            'video_id': video_id,
            'settings': _settings_of(source, settings),
            'source': _fingerprint(source),
            **({} if mask is None else {'blanked_share': round(mask.share, 6)}),
            **manifest,
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + '\n', encoding='utf-8')
        _draw_mask(mask, folder, settings.size)
        _remove(folder)  # not earlier: a source that got damaged must not cost the frames stored before
        temporary.rename(folder)
    finally:
        _remove(temporary)
    return manifest['frames']


def remove_leftovers(frames_folder: Path) -> None:
    """Remove the temporary folders that interrupted runs have left."""
    for leftover in frames_folder.glob(f'{TEMPORARY_PREFIX}*'):
        _remove(leftover)


def blanked_share(folder: Path) -> float | None:
    """Share of the picture that was blanked in a stored video, 0 to 1; None if nothing was asked to be."""
    return json.loads((folder / MANIFEST).read_text(encoding='utf-8')).get('blanked_share')


def mask_picture(folder: Path) -> Path:
    """Where the picture of what was blanked lies, for the folder of a video."""
    return folder.parent.parent / MASKED / f'{folder.name}.png'


def _draw_mask(mask: StaticMask | None, folder: Path, size: int) -> None:
    """Write the picture of a mask, or remove that of an earlier one."""
    picture = mask_picture(folder)
    if mask is None:
        picture.unlink(missing_ok=True)
        return
    picture.parent.mkdir(exist_ok=True)
    write_png(picture, shrink(mask.draw(), size))


def _write_frames(
    source: Path, folder: Path, settings: StoreSettings, mask: StaticMask | None, grey: bool
) -> dict | None:
    """Write all frames; None as soon as a frame needs colour after all."""
    folder.mkdir()
    reader = open_clip(source, settings.fps)
    names: list[str] = []
    for frame in reader:
        if mask is not None:
            frame = mask.blank(frame)
        if grey and settings.color == 'auto' and not is_grey(frame):
            return None
        names.append(frame_name(len(names)))
        write_png(folder / names[-1], shrink(to_grey(frame) if grey else frame, settings.size))
    return {'stored_as': 'gray' if grey else 'color', **reader.facts, 'frames': names}


def _settings_of(source: Path, settings: StoreSettings) -> dict:
    values = asdict(settings) | ({'fps': None} if source.is_dir() else {})
    if settings.mask_tolerance is None:  # as in folders that were written before there was such a setting
        del values['mask_tolerance']
    return values


def _files_of(source: Path) -> list[Path]:
    return FrameFolder(source).list_files() if source.is_dir() else [source]


def _fingerprint(source: Path) -> dict:
    digest, size = hashlib.sha256(), 0
    try:
        for file in _files_of(source):
            with file.open('rb') as stream:
                while chunk := stream.read(1 << 20):
                    digest.update(chunk)
                    size += len(chunk)
    except OSError as error:
        raise ClipError(source, f'{error.filename} cannot be read ({error.strerror})') from error
    return {'bytes': size, 'sha256': digest.hexdigest()}


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
