"""Read the sampled frames of a DICOM file, or say what is wrong with it, without saying whose it is."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uscl.core.errors import ClipError

from .dicom_colours import decode_colours, is_coded_colour
from .dicom_display import find_range, mend_rescale, needs_range, to_display
from .dicom_header import frame_count, number_of, read_elements, silent, value_of
from .dicom_timing import TIMING, frame_times
from .frame_limits import LARGEST_FRAME, check_size
from .frame_resize import resize_frame
from .frame_sampling import ASSUMED_RATE, FrameSampler, next_time

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


class DicomReader:
    """Iterate over the frames of a DICOM file, or at a steady rate over some, by its own frame times.

    Each frame is an RGB array (H, W, 3), uint8, as a viewer shows it, its pixels square; the first frame of every
    interval of ``1 / fps`` seconds is kept. One frame is decoded at a time, and all of them are, so use nothing before
    iteration has finished. A file with one frame is a video of one frame. Elements that tell who the patient is are not
    read at all.

    Args:
        path: The file.
        fps: Frames to keep in a second, above 0; None keeps all, and so does a clip with a lower rate.

    Attributes:
        times: After iteration, the seconds of the frames given, from 0 on.
        facts: After iteration, ``frames_decoded`` and ``frame_rate``; where they apply, ``assumed``, what the file does
            not say or says wrongly (see :func:`~.dicom_timing.frame_times`, without which 25 frames a second are taken,
            and :func:`~.dicom_display.mend_rescale`), and ``rescaled``: ``pixel aspect W:H`` that was made 1:1, ``grey
            levels LOW to HIGH`` that were made 0 to 255 because the file gives no window.

    Raises:
        ClipError: While iterating: not DICOM, without (whole) pixel data or with more frames than the header says, of a
            kind that cannot be shown, with frames that do not decode, or pydicom or a decoder is not installed. It
            never quotes the file.
    """

    def __init__(self, path: str | Path, fps: float | None = None) -> None:
        self.path = Path(path)
        self.fps = fps
        self.times: list[float] = []
        self.facts: dict = {}

    def __iter__(self) -> Iterator[np.ndarray]:
        header = read_elements(self.path, TIMING, pixels=True)
        try:
            with silent():
                self._check(header)
                times, rate, assumed = frame_times(header)
                count = frame_count(header)
                assumed = (assumed if count > 1 else []) + mend_rescale(header)
                limits = find_range(self._decode(header), header) if needs_range(header) else None
                width, rescaled = _square_width(header)
                check_size(width, header.Rows)
        except ClipError:
            raise
        except Exception:  # an element that is missing or has an impossible value, which a message would quote
            raise ClipError(self.path, 'damaged: its header does not describe its pixels; export it again') from None
        sampler, time, decoded = FrameSampler(self.fps, _TICK), None, 0
        for pixels in self._decode(header):
            period = 1 / (rate or ASSUMED_RATE)
            stamp = decoded * period if times is None else times[decoded]
            time = next_time(round(stamp * 1e6), 1e-6, time, period)
            decoded += 1
            if sampler.keeps(time):
                frame = self._show(pixels, header, limits)
                yield frame if width == header.Columns else resize_frame(frame, (header.Rows, width))
        self.times = sampler.times
        if limits is not None:
            rescaled.append(f'grey levels {limits[0]:g} to {limits[1]:g}')
        self.facts = {'frames_decoded': decoded, 'frame_rate': round(rate or ASSUMED_RATE, 6)}
        self.facts |= {key: said for key, said in (('assumed', assumed), ('rescaled', rescaled)) if said}

    def _check(self, header: 'Dataset') -> None:
        from pydicom.pixels import get_decoder
        from pydicom.uid import JPEG2000TransferSyntaxes

        syntax = header.file_meta.TransferSyntaxUID
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:
            name = syntax.name if syntax.is_transfer_syntax and not syntax.is_private else 'an unknown syntax'
            raise ClipError(self.path, f'its pixels are in {name}, which is not read here: {_UNPACK}') from None
        if not decoder.is_available:
            raise ClipError(
                self.path,
                f'no decoder for {syntax.name} is installed: {_INSTALL}, or {_UNPACK}',
            )
        if syntax.is_deflated:
            raise ClipError(self.path, f'{syntax.name} is not read here: {_UNPACK}')
        if value_of(header, 'PhotometricInterpretation') not in _PHOTOMETRIC:
            raise ClipError(
                self.path, f'its photometric interpretation is not one of {", ".join(sorted(_PHOTOMETRIC))}: {_UNPACK}'
            )
        if number_of(header, 'BitsAllocated') not in (1, 8, 16):
            raise ClipError(self.path, f'its pixels have neither 8 nor 16 bits: {_UNPACK}')
        high, stored = number_of(header, 'HighBit'), number_of(header, 'BitsStored')
        if high is not None and stored is not None and high + 1 != stored:
            raise ClipError(
                self.path, f'its values lie in unusual bits (HighBit {high:.0f} of {stored:.0f}): {_UNPACK}'
            )
        area = (number_of(header, 'Rows') or 0) * (number_of(header, 'Columns') or 0)
        if not 0 < area <= LARGEST_FRAME:
            raise ClipError(self.path, f'wrong size: its header claims {area:.0f} pixels a frame; export it again')
        kind = header.PhotometricInterpretation
        if (header.SamplesPerPixel == 1) != kind.startswith(('MONOCHROME', 'PALETTE')):
            raise ClipError(self.path, f'its header says {kind}, but not as many values a pixel: export it again')
        if kind in ('YBR_ICT', 'YBR_RCT') and syntax not in JPEG2000TransferSyntaxes:
            raise ClipError(self.path, f'its header says {kind}, which only JPEG 2000 can be: export it again')

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
        else:  # pydicom 3.0 takes the frames after the first from the wrong place: let it forget after each
            frames = (
                next(iter_pixels(self.path, indices=[index], transfer_syntax_uid=syntax)) for index in range(declared)
            )
        while decoded < declared:
            try:
                with silent():
                    frame = next(frames, None)
            except ClipError:
                raise
            except Exception:  # what pydicom, Pillow or NumPy raise for damaged content; they may quote it
                frame = None
            if decoded == 0 and frame is None and header.file_meta.TransferSyntaxUID.is_encapsulated:
                raise ClipError(
                    self.path,
                    f'damaged, or compressed in a way that the installed decoders do not know: no frame could be '
                    f'decoded; {_INSTALL}, or {_UNPACK}',
                )
            if frame is None or frame.shape != shape:
                raise ClipError(
                    self.path,
                    f'damaged or truncated: {decoded} of {declared} frames could be decoded; copy or export it again',
                )
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


def _square_width(header: 'Dataset') -> tuple[int, list[str]]:
    """How wide a frame is with square pixels, and what is rescaled for it; heights are kept."""
    try:
        height, width = (int(part) for part in value_of(header, 'PixelAspectRatio'))  # of a pixel
    except (TypeError, ValueError):
        return header.Columns, []
    if min(height, width) <= 0 or height == width:
        return header.Columns, []
    aspect = Fraction(width, height)
    if max(aspect, 1 / aspect) > _LARGEST_ASPECT:
        raise ValueError('no scanner has such pixels')
    return max(round(header.Columns * aspect), 1), [f'pixel aspect {aspect.numerator}:{aspect.denominator}']
