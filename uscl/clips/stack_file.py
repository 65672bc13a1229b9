"""Read the frames of a NIfTI, NRRD or MetaImage file whose last axis is time."""

import gzip
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from uscl.core.errors import ClipError
from uscl.core.relative_path import leads_out

from .clip import Clip
from .frame_limits import MOST_BYTES, LargeFrameError, check_size
from .frame_sampling import ASSUMED_RATE, FrameSampler
from .grey_range import scale_to_unit
from .media_suffixes import stack_suffix

# ITK's reader by suffix.
_READERS = {
    **dict.fromkeys(['.nii', '.nii.gz'], 'NiftiImageIO'),
    **dict.fromkeys(['.nrrd', '.nhdr'], 'NrrdImageIO'),
    **dict.fromkeys(['.mha', '.mhd'], 'MetaImageIO'),
}
_SECONDS = {'s': 1.0, 'sec': 1.0, 'second': 1.0, 'seconds': 1.0, 'ms': 1e-3, 'msec': 1e-3, 'us': 1e-6, 'usec': 1e-6}
_NIFTI_TIME = 0b111000  # the bits of xyzt_units for a unit of time: 8 s, 16 ms, 24 us
_DETACHED = re.compile(rb'^(?:ElementDataFile *= *|data ?file: *)(.*?)\s*$', re.MULTILINE)
_LONGEST_HEADER = 1 << 24
_AGAIN = 'copy or export it again'


def stack_files(path: Path) -> list[Path]:
    """The file, and the file with its pixels if it is only a header.

    Raises:
        ClipError: It cannot be opened, or its pixels are not in one file in the same folder.
    """
    try:
        with path.open('rb') as file:
            found = _DETACHED.search(file.read(_LONGEST_HEADER))
        name = found[1].decode(errors='replace') if found else 'LOCAL'
        if name == 'LOCAL' or _READERS[stack_suffix(path) or '.nii'] == 'NiftiImageIO':
            return [path]
        pixels = path.parent / name
        is_beside = '/' not in name and '\\' not in name and pixels.is_file()
        if is_beside and not path.is_symlink() and leads_out(pixels, path.parent):
            raise ClipError(path, f'its pixels, {name}, are a link out of its folder: copy the target')
    except OSError as error:
        raise ClipError(path, f'it cannot be opened ({error.strerror}): check its rights') from error
    if not is_beside:
        raise ClipError(path, 'its pixels are not in one file in its folder: save all as one .nrrd or .mha')
    return [path, pixels]


class StackFile(Clip):
    """A NIfTI, NRRD or MetaImage file with one axis for time, sampled by its own clock.

    The fourth axis is always time (the third then has one slice). The third axis is time if NRRD says so by its kind
    (time or list) or unit, if every frame has a time stamp, as written by Plus, or if ``third_axis_time`` says so.
    Anything else is a volume, and refused. Rows are the second axis, columns the first. Grey with more than 8 bits is
    scaled from the lowest and highest value in the file, as DICOM without a window is. The whole file is held in
    memory. Attributes are those of :class:`~uscl.clips.clip.Clip`; the frame rate is assumed if the file states neither
    stamps nor steps in a unit of time.

    Args:
        path: The file.
        fps: See :class:`~uscl.clips.clip.Clip`.
        at_least: See :class:`~uscl.clips.clip.Clip`.
        third_axis_time: Take the third axis for time where the file does not say what it is.

    Raises:
        ClipError: While iterating: a volume, damaged, too large, of unusual pixels, or SimpleITK is not installed.
    """

    def __init__(
        self, path: str | Path, fps: float | None = None, at_least: int = 1, third_axis_time: bool = False
    ) -> None:
        super().__init__(path, fps, at_least)
        self.third_axis_time = third_axis_time

    def decode(self, fps: float | None) -> Iterator[np.ndarray]:
        """Decode the file; see the class."""
        frames, stamps, step, is_stated = self._load()
        is_deep = frames.dtype != np.uint8
        limits = (float(frames.min()), float(frames.max())) if is_deep else (0.0, 255.0)
        if not np.isfinite(limits).all():
            raise ClipError(self.path, 'some pixels are not numbers: store finite ones')
        if stamps and stamps[-1] > stamps[0]:
            step = (stamps[-1] - stamps[0]) / (len(stamps) - 1)
        period = step or 1 / ASSUMED_RATE
        sampler = FrameSampler(fps, 1e-3, period)
        for number, frame in enumerate(frames):
            if sampler.keeps(stamps[number] if stamps else number * period):
                if is_deep:
                    frame = np.rint(scale_to_unit(frame, limits) * 255).astype(np.uint8)
                yield frame.copy() if frame.shape[2] == 3 else np.repeat(frame, 3, axis=2)
        self.report(
            sampler,
            frames_decoded=len(frames),
            frame_rate=round(1 / period, 6),
            assumed=['time axis'] * (not is_stated) + ['frame rate'] * (not step),
            rescaled=[f'grey levels {limits[0]:.10g} to {limits[1]:.10g}'] if is_deep else [],
        )

    def _load(self) -> tuple[np.ndarray, list[float], float | None, bool]:
        """Frames (T, H, W, C) as stored, C is 1 or 3; their time stamps, if any; see :meth:`_find_step`."""
        try:
            import SimpleITK as sitk  # noqa: N813
        except ImportError:
            what = 'NIfTI, NRRD and MetaImage need SimpleITK'
            raise ClipError(self.path, f"{what}: pip install 'uscl_plugin[stacks]'") from None
        kind = _READERS[stack_suffix(self.path) or '.nii']
        stack_files(self.path)
        reader = sitk.ImageFileReader()
        reader.SetImageIO(kind)
        reader.SetFileName(str(self.path))
        try:
            reader.ReadImageInformation()
            size, spacing, parts = reader.GetSize(), reader.GetSpacing(), reader.GetNumberOfComponents()
            header = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
            bits = int(re.findall(r'(\d+)-bit', sitk.GetPixelIDValueAsString(reader.GetPixelID()))[0])
            is_list = header.get('NRRD_kinds[pixel]') == 'list'
            stamps = [float(header[key]) for key in sorted(header) if re.fullmatch(r'Seq_Frame\d+_Timestamp', key)]
            stamps = stamps if len(stamps) == math.prod(size[2:]) else []
            step, is_stated = self._find_step(
                (*size, parts) if is_list else size, spacing, header, bool(stamps) or is_list
            )
            check_size(size[0], size[1])
            if (held := math.prod(size) * parts * bits // 8) > MOST_BYTES:
                raise ClipError(self.path, f'it has {held} bytes of pixels, more than {MOST_BYTES}: cut it')
            if kind == 'NiftiImageIO':
                self._check_whole(header)
            values = sitk.GetArrayFromImage(reader.Execute())
        except (ClipError, LargeFrameError):
            raise
        except Exception as error:  # SimpleITK's messages quote paths and lines of its source
            raise ClipError(self.path, f'damaged, or not what its name says: {_AGAIN}') from error
        frames = values.reshape(-1, size[1], size[0], parts)
        if is_list:
            frames = np.moveaxis(frames, 3, 0).reshape(-1, size[1], size[0], 1)
        colours = frames.shape[3]
        if frames.dtype.kind not in 'uif' or colours not in (1, 3) or (colours == 3 and frames.dtype != np.uint8):
            what = f'its pixels ({colours} x {frames.dtype}) are neither grey nor 8-bit colours'
            raise ClipError(self.path, f'{what}: convert them')
        return frames, stamps, step, is_stated

    def _find_step(
        self, size: tuple[int, ...], spacing: tuple[float, ...], header: Mapping[str, Any], is_time: bool
    ) -> tuple[float | None, bool]:
        """Seconds between two frames, or None, and whether the file states its time axis; refuses one without."""
        longer = [axis for axis in range(2, len(size)) if size[axis] > 1]
        axis = longer[0] if longer else 2
        unit = _SECONDS.get(header.get(f'NRRD_units[{axis}]', '').lower())
        if axis == 3 and int(header.get('xyzt_units', 0)) & _NIFTI_TIME:
            unit = 1.0  # ITK has converted it to seconds
        is_time = is_time or axis == 3 or unit is not None or header.get(f'NRRD_kinds[{axis}]') in ('time', 'list')
        is_time = is_time or not longer  # one frame
        if len(longer) > 1 or not (is_time or self.third_axis_time):
            what = f'a volume ({" x ".join(map(str, size))}): its header does not say that the last axis is time'
            remedy = 'if it is, convert with --third-axis-time, or save it as NRRD of kind time'
            raise ClipError(self.path, f'{what}; {remedy}')
        step = spacing[axis] * unit if unit is not None and axis < len(spacing) else 0
        return step if 0 < step < math.inf else None, is_time

    def _check_whole(self, header: Mapping[str, str]) -> None:
        """Refuse a NIfTI file that ends early; ITK would fill it with black."""
        pixels = math.prod(int(header[f'dim[{axis}]']) for axis in range(1, int(header['dim[0]']) + 1))
        expected = int(float(header['vox_offset'])) + pixels * int(header['bitpix']) // 8
        held = self.path.stat().st_size
        if stack_suffix(self.path) == '.nii.gz':
            held = 0
            try:
                with gzip.open(self.path) as file:
                    while held < expected and (chunk := file.read(1 << 20)):
                        held += len(chunk)
            except (EOFError, zlib.error, OSError):
                held = 0
        if held < expected:
            raise ClipError(self.path, f'truncated: it ends within its pixels; {_AGAIN}')
