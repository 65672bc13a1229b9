"""Read the frames of a DICOM file, or say what is wrong with it, without revealing whose it is."""

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from uscl.core.errors import ClipError
from uscl.core.plurals import counted

from .clip import Clip
from .dicom_colours import decode_colours, is_coded_colour
from .dicom_display import find_range, mend_rescale, needs_range, to_display
from .dicom_header import frame_count, number_of, read_elements, silent, value_of
from .dicom_timing import TIMING, frame_times
from .frame_limits import LARGEST_FRAME, LargeFrameError, check_size
from .frame_resize import resize_frame, square_size
from .frame_sampling import ASSUMED_RATE, FrameSampler

if TYPE_CHECKING:
    from pydicom import Dataset

_PHOTOMETRIC = frozenset(
    ('MONOCHROME1', 'MONOCHROME2', 'PALETTE COLOR', 'RGB', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT')
)
_TICK = 1e-3  # seconds; frame times are in milliseconds and often rounded, such as 33.33 for 30 frames a second
_LARGEST_ASPECT = 8
_OFFSETS = ('ExtendedOffsetTable', 'ExtendedOffsetTableLengths')
_INSTALL = 'pip install pylibjpeg pylibjpeg-libjpeg'
_UNPACK = 'store it uncompressed (gdcmconv --raw, dcmdjpeg), or export a video'


class DicomReader(Clip):
    """A DICOM file, sampled by its own frame times.

    Frames are shown as by a viewer, with square pixels. Frames are decoded one at a time, and always all of them. A
    file with one frame is a video of one frame. Elements that identify the patient are not read, and errors never quote
    the file. Arguments and attributes are those of :class:`~uscl.clips.clip.Clip`. ``assumed`` lists what the file does
    not state or states wrongly, see :func:`~.dicom_timing.frame_times` and :func:`~.dicom_display.mend_rescale`;
    ``rescaled`` has ``pixel aspect W:H`` if pixels were not square, and ``grey levels LOW to HIGH``, which became 0 to
    255, if the file has no window.

    Raises:
        ClipError: While iterating: not DICOM, without (whole) pixel data or with more frames than the header says, of a
            kind that cannot be shown, damaged, or pydicom or a decoder is not installed.
    """

    def decode(self, fps: float | None) -> Iterator[np.ndarray]:
        """Decode the file; see the class."""
        header = read_elements(self.path, TIMING, pixels=True)
        try:
            with silent():
                self._check(header)
                times, stated_rate, assumed = frame_times(header)
                assumed = (assumed if frame_count(header) > 1 else []) + mend_rescale(header)
                limits = find_range(self._decode(header), header) if needs_range(header) else None
                stored, aspect = (header.Rows, header.Columns), _pixel_aspect(header)
                size = square_size(stored, aspect)
                check_size(size[1], size[0])
        except (ClipError, LargeFrameError):
            raise
        except Exception:  # an element is missing or has an impossible value, which a message would quote
            raise ClipError(self.path, 'damaged: its header does not describe its pixels; export it again') from None
        rate, decoded = stated_rate or ASSUMED_RATE, 0
        sampler = FrameSampler(fps, _TICK, 1 / rate)
        for pixels in self._decode(header):
            is_kept = sampler.keeps(decoded / rate if times is None else times[decoded])
            decoded += 1
            if is_kept:
                frame = self._show(pixels, header, limits)
                yield frame if size == stored else resize_frame(frame, size)
        rescaled = [] if size == stored else [f'pixel aspect {aspect.numerator}:{aspect.denominator}']
        if limits is not None:
            rescaled.append(f'grey levels {limits[0]:g} to {limits[1]:g}')
        self.report(sampler, frames_decoded=decoded, frame_rate=round(rate, 6), assumed=assumed, rescaled=rescaled)

    def _check(self, header: 'Dataset') -> None:
        from pydicom.pixels import get_decoder
        from pydicom.uid import JPEG2000TransferSyntaxes

        syntax = header.file_meta.TransferSyntaxUID
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:
            name = syntax.name if syntax.is_transfer_syntax and not syntax.is_private else 'an unknown syntax'
            raise ClipError(self.path, f'its pixels are in {name}, which is not supported: {_UNPACK}') from None
        if not decoder.is_available:
            raise ClipError(self.path, f'no decoder for {syntax.name} is installed: {_INSTALL}, or {_UNPACK}')
        if syntax.is_deflated:
            raise ClipError(self.path, f'{syntax.name} is not supported: {_UNPACK}')
        if value_of(header, 'PhotometricInterpretation') not in _PHOTOMETRIC:
            known = ', '.join(sorted(_PHOTOMETRIC))
            raise ClipError(self.path, f'its photometric interpretation is not one of {known}: {_UNPACK}')
        if number_of(header, 'BitsAllocated') not in (1, 8, 16):
            raise ClipError(self.path, f'its pixels have neither 8 nor 16 bits: {_UNPACK}')
        high, stored = number_of(header, 'HighBit'), number_of(header, 'BitsStored')
        if high is not None and stored is not None and high + 1 != stored:
            raise ClipError(self.path, f'it uses unusual bits (HighBit {high:.0f} of {stored:.0f}): {_UNPACK}')
        area = (number_of(header, 'Rows') or 0) * (number_of(header, 'Columns') or 0)
        if not 0 < area <= LARGEST_FRAME:
            raise ClipError(self.path, f'wrong size: its header claims {area:.0f} pixels per frame; export it again')
        kind = header.PhotometricInterpretation
        if (header.SamplesPerPixel == 1) != kind.startswith(('MONOCHROME', 'PALETTE')):
            raise ClipError(self.path, f'its header says {kind}, but another number of channels: export it again')
        if kind in ('YBR_ICT', 'YBR_RCT') and syntax not in JPEG2000TransferSyntaxes:
            raise ClipError(self.path, f'its header says {kind}, which only JPEG 2000 has: export it again')

    def _decode(self, header: 'Dataset') -> Iterator[np.ndarray]:
        """All frames as stored, (H, W) or (H, W, 3), YBR already converted; one at a time."""
        from pydicom.pixels import iter_pixels

        declared, decoded = frame_count(header), 0
        shape = (header.Rows, header.Columns) + (3,) * (header.SamplesPerPixel == 3)
        syntax, label = header.file_meta.TransferSyntaxUID, header.PhotometricInterpretation
        frames: Iterator[np.ndarray]
        if is_coded_colour(header):
            frames = (decode_colours(stream, label, self.path) for stream in self._streams(header))
        elif syntax.is_encapsulated or label != 'YBR_FULL_422':
            frames = iter_pixels(self.path, transfer_syntax_uid=syntax)
        else:  # pydicom 3.0 takes the frames after the first from the wrong place, unless each is read by itself
            each = ([index] for index in range(declared))
            frames = (next(iter_pixels(self.path, indices=index, transfer_syntax_uid=syntax)) for index in each)
        while decoded < declared:
            try:
                with silent():
                    frame = next(frames, None)
            except ClipError:
                raise
            except Exception:  # what pydicom, Pillow or NumPy raise for damaged content; they may quote it
                frame = None
            if decoded == 0 and frame is None and syntax.is_encapsulated:
                what = 'no frame could be decoded: it is damaged, or compressed in an unknown way'
                raise ClipError(self.path, f'{what}; {_INSTALL}, or {_UNPACK}')
            if frame is None or frame.shape != shape:
                what = f'damaged or truncated: {decoded} of {counted(declared, "frame")} could be decoded'
                raise ClipError(self.path, f'{what}; copy or export it again')
            decoded += 1
            yield frame

    def _streams(self, header: 'Dataset') -> Iterator[bytes]:
        """The compressed frames."""
        from pydicom import dcmread
        from pydicom.encaps import generate_frames

        with self.path.open('rb') as file:
            tables = dcmread(file, stop_before_pixels=True, specific_tags=list(_OFFSETS), force=True)
            file.seek(12, 1)  # the pixel element's tag, representation and length
            offsets = tuple(tables[keyword].value for keyword in _OFFSETS) if _OFFSETS[1] in tables else None
            yield from generate_frames(file, number_of_frames=frame_count(header), extended_offsets=offsets)

    def _show(self, pixels: np.ndarray, header: 'Dataset', limits: tuple[float, float] | None) -> np.ndarray:
        try:
            with silent():
                return to_display(pixels, header, limits)
        except Exception:
            raise ClipError(self.path, 'damaged: its grey scale or palette cannot be read; export it again') from None


def _pixel_aspect(header: 'Dataset') -> Fraction:
    """Width of a pixel divided by its height; 1 if the file does not say."""
    try:
        height, width = (int(part) for part in value_of(header, 'PixelAspectRatio'))
    except (TypeError, ValueError):
        return Fraction(1)
    if min(height, width) <= 0:
        return Fraction(1)
    if max(height, width) > _LARGEST_ASPECT * min(height, width):
        raise ValueError('no scanner has such pixels')
    return Fraction(width, height)
