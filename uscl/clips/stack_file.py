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

from .frame_limits import MOST_BYTES, check_size
from .frame_sampling import ASSUMED_RATE, FrameSampler, next_time
from .grey_range import scale_to_unit
from .media_suffixes import stack_suffix

# Which of ITK's readers takes a file, by the end of its name.
_READERS = {
    '.nii': 'NiftiImageIO',
    '.nii.gz': 'NiftiImageIO',
    '.nrrd': 'NrrdImageIO',
    '.nhdr': 'NrrdImageIO',
    '.mha': 'MetaImageIO',
    '.mhd': 'MetaImageIO',
}
_SECONDS = {'s': 1.0, 'sec': 1.0, 'second': 1.0, 'seconds': 1.0, 'ms': 1e-3, 'msec': 1e-3, 'us': 1e-6, 'usec': 1e-6}
_NIFTI_TIME = 0b111000  # the bits of xyzt_units for a unit of time: 8 s, 16 ms, 24 us
_DETACHED = re.compile(rb'^(?:ElementDataFile *= *|data ?file: *)(.*?)\s*$', re.MULTILINE)
_LONGEST_HEADER = 1 << 24
_AGAIN = 'copy or export it again'


def stack_files(path: Path) -> list[Path]:
    """The file, and the one beside it with the pixels if it is a header alone.

    Raises:
        ClipError: It cannot be opened, or its pixels are not in one file of the same folder.
    """
    try:
        with path.open('rb') as file:
            found = _DETACHED.search(file.read(_LONGEST_HEADER))
        name = found[1].decode(errors='replace') if found else 'LOCAL'
        if name == 'LOCAL' or _READERS[stack_suffix(path) or '.nii'] == 'NiftiImageIO':
            return [path]
        is_beside = '/' not in name and '\\' not in name and (path.parent / name).is_file()
    except OSError as error:
        raise ClipError(path, f'it cannot be opened ({error.strerror}): check its rights') from error
    if not is_beside:
        raise ClipError(path, 'its pixels are not in one file beside it: save header and pixels as one .nrrd or .mha')
    return [path, path.parent / name]


class StackFile:
    """Iterate over the frames of a NIfTI, NRRD or MetaImage file, or at a steady rate over some, by its own clock.

    The last axis has to be time: the fourth axis always is (the third has one slice then); the third is if NRRD says so
    by its kind (time or list) or its unit, or if every frame has a time stamp, as Plus writes them. All else is a
    volume, and refused. Rows are the second axis, columns the first. Each frame is an RGB array (H, W, 3), uint8; grey
    with more than 8 bits is scaled by the least and the largest value of the file, as DICOM without a window is. The
    file is held as a whole.

    Args:
        path: The file.
        fps: Frames to keep in a second, above 0; None keeps all.

    Attributes:
        times: After iteration, the seconds of the frames given.
        facts: After iteration, ``frames_decoded``, ``frame_rate``, and ``assumed`` (the frame rate, where the file
            states neither stamps nor steps in a unit of time) and ``rescaled`` where they apply.

    Raises:
        ClipError: While iterating: a volume, damaged, too large, of unusual pixels, or SimpleITK is not installed.
    """

    def __init__(self, path: str | Path, fps: float | None = None) -> None:
        self.path = Path(path)
        self.fps = fps
        self.times: list[float] = []
        self.facts: dict = {}

    def __iter__(self) -> Iterator[np.ndarray]:
        frames, stamps, step = self._load()
        low, high = (0.0, 255.0) if frames.dtype == np.uint8 else (float(frames.min()), float(frames.max()))
        if not math.isfinite(low + high):
            raise ClipError(self.path, 'it has pixels that are not numbers: store finite ones')
        if stamps and stamps[-1] > stamps[0]:
            step = (stamps[-1] - stamps[0]) / (len(stamps) - 1)
        period = step or 1 / ASSUMED_RATE
        sampler, time = FrameSampler(self.fps, 1e-3), None
        for number, frame in enumerate(frames):
            stamp = stamps[number] if stamps else number * period
            time = next_time(round(stamp * 1e6), 1e-6, time, period)
            if sampler.keeps(time):
                if frame.dtype != np.uint8:
                    frame = np.rint(scale_to_unit(frame, (low, high)) * 255).astype(np.uint8)
                yield frame.copy() if frame.shape[2] == 3 else np.repeat(frame, 3, axis=2)
        self.times = sampler.times
        self.facts = {
            'frames_decoded': len(frames),
            'frame_rate': round(1 / period, 6),
            **({} if step else {'assumed': ['frame rate']}),
            **({} if frames.dtype == np.uint8 else {'rescaled': [f'grey levels {low:.10g} to {high:.10g}']}),
        }

    def _load(self) -> tuple[np.ndarray, list[float], float | None]:
        """Frames (T, H, W, C) as stored, C is 1 or 3; their time stamps, if any; seconds between two, if known."""
        try:
            import SimpleITK as sitk  # noqa: N813
        except ImportError:
            remedy = "NIfTI, NRRD and MetaImage need SimpleITK: pip install 'uscl_plugin[stacks]'"
            raise ClipError(self.path, remedy) from None
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
            step = self._find_step((*size, parts) if is_list else size, spacing, header, bool(stamps) or is_list)
            self._check_size(size, math.prod(size) * parts * bits // 8)
            if kind == 'NiftiImageIO':
                self._check_whole(header)
            values = sitk.GetArrayFromImage(reader.Execute())
        except ClipError:
            raise
        except Exception as error:  # SimpleITK's quotes paths and lines of its source
            raise ClipError(self.path, f'damaged, or not what its name says: {_AGAIN}') from error
        frames = values.reshape(-1, size[1], size[0], parts)
        if is_list:
            frames = np.moveaxis(frames, 3, 0).reshape(-1, size[1], size[0], 1)
        colours = frames.shape[3]
        if frames.dtype.kind not in 'uif' or colours not in (1, 3) or (colours == 3 and frames.dtype != np.uint8):
            what = f'{colours} x {frames.dtype}'
            raise ClipError(self.path, f'its pixels ({what}) are neither grey nor colours of 8 bits: convert them')
        return frames, stamps, step

    def _find_step(
        self, size: tuple[int, ...], spacing: tuple[float, ...], header: Mapping[str, Any], is_time: bool
    ) -> float | None:
        """Seconds between two frames, or None if they are not known; refuses what has no time axis."""
        longer = [axis for axis in range(2, len(size)) if size[axis] > 1]
        axis = longer[0] if longer else 2
        unit = _SECONDS.get(header.get(f'NRRD_units[{axis}]', '').lower())
        if axis == 3 and int(header.get('xyzt_units', 0)) & _NIFTI_TIME:
            unit = 1.0  # ITK has made seconds of it
        is_time = is_time or axis == 3 or unit is not None or header.get(f'NRRD_kinds[{axis}]') in ('time', 'list')
        if len(longer) > 1 or (longer and not is_time):
            raise ClipError(
                self.path,
                f'a volume ({" x ".join(map(str, size))}), for nothing in its header says that its last axis is time: '
                f'if it is, save it as 4-D with one slice, as NRRD with the kind time, or as a TIFF with pages',
            )
        step = spacing[axis] * unit if unit is not None and axis < len(spacing) else 0
        return step if 0 < step < math.inf else None

    def _check_size(self, size: tuple[int, ...], held: int) -> None:
        try:
            check_size(size[0], size[1])
        except ValueError as error:
            raise ClipError(self.path, f'wrong size: {error}; make it smaller') from error
        if held > MOST_BYTES:
            raise ClipError(self.path, f'it claims {held} bytes, more than the {MOST_BYTES} that are read: cut it')

    def _check_whole(self, header: Mapping[str, str]) -> None:
        """Refuse a NIfTI file that ends early, which ITK would fill with black."""
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
            raise ClipError(self.path, f'truncated: its pixels end early; {_AGAIN}')
