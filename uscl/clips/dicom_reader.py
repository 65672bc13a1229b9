"""Read the sampled frames of a DICOM file, or say what is wrong with it, without saying whose it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from uscl.core.errors import ClipError

from .clip_reader import ASSUMED_RATE
from .dicom_display import find_range, needs_range, to_display
from .dicom_header import TIMING, frame_times, number_of, read_elements, silent, value_of
from .frame_limits import LARGEST_FRAME
from .frame_sampling import FrameSampler, next_time

if TYPE_CHECKING:
    from pydicom import Dataset

_PHOTOMETRIC = frozenset(
    ('MONOCHROME1', 'MONOCHROME2', 'PALETTE COLOR', 'RGB', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT')
)
_TICK = 1e-3  # seconds; frame times are in milliseconds and often rounded, such as 33.33 for 30 frames a second
_INSTALL = 'pip install pylibjpeg pylibjpeg-libjpeg'
_UNPACK = 'store it uncompressed (gdcmconv --raw, dcmdjpeg), or export a video'


class DicomReader:
    """Iterate over the frames of a DICOM file, or at a steady rate over some, by its own frame times.

    Each frame is an RGB array (H, W, 3), uint8, as a viewer shows it; the first frame of every interval of ``1 / fps``
    seconds is kept. One frame is decoded at a time, and all of them are, so use nothing before iteration has finished.
    A file with one frame is a video of one frame. Elements that tell who the patient is are not read at all.

    Args:
        path: The file.
        fps: Frames to keep in a second, above 0; None keeps all, and so does a clip with a lower rate.

    Attributes:
        times: After iteration, the seconds of the frames given, from 0 on.
        facts: After iteration, ``frames_decoded``, ``frame_rate`` and ``frame_rate_assumed`` (true if the file states
            neither frame times nor a rate, and 25 was taken).

    Raises:
        ClipError: While iterating: not DICOM, without (whole) pixel data, of a kind that cannot be shown, with frames
            that do not decode, or pydicom or a decoder is not installed. It never quotes the file.
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
                times, rate = frame_times(header)
                limits = find_range(self._decode(header), header) if needs_range(header) else None
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
                yield self._show(pixels, header, limits)
        self.times = sampler.times
        self.facts = {
            'frames_decoded': decoded,
            'frame_rate': round(rate or ASSUMED_RATE, 6),
            'frame_rate_assumed': rate is None,
        }

    def _check(self, header: 'Dataset') -> None:
        from pydicom.pixels import get_decoder

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

    def _decode(self, header: 'Dataset') -> Iterator[np.ndarray]:
        """All frames as stored, (H, W) or (H, W, 3), YBR already converted; one at a time."""
        from pydicom.pixels import iter_pixels

        declared = int(number_of(header, 'NumberOfFrames') or 1)
        decoded = 0
        if header.file_meta.TransferSyntaxUID.is_encapsulated or header.PhotometricInterpretation != 'YBR_FULL_422':
            frames = iter_pixels(self.path)
        else:  # pydicom 3.0 takes the frames after the first from the wrong place: let it forget after each
            frames = (next(iter_pixels(self.path, indices=[index])) for index in range(declared))
        while decoded < declared:
            try:
                with silent():
                    frame = next(frames, None)
            except Exception:  # what pydicom, Pillow or NumPy raise for damaged content; they may quote it
                frame = None
            if decoded == 0 and frame is None and header.file_meta.TransferSyntaxUID.is_encapsulated:
                raise ClipError(
                    self.path,
                    f'damaged, or compressed in a way that the installed decoders do not know: no frame could be '
                    f'decoded; {_INSTALL}, or {_UNPACK}',
                )
            if frame is None or frame.shape[:2] != (header.Rows, header.Columns):
                raise ClipError(
                    self.path,
                    f'damaged or truncated: {decoded} of {declared} frames could be decoded; copy or export it again',
                )
            decoded += 1
            yield frame

    def _show(self, pixels: np.ndarray, header: 'Dataset', limits: tuple[float, float] | None) -> np.ndarray:
        try:
            with silent():
                return to_display(pixels, header, limits)
        except Exception:
            raise ClipError(self.path, 'damaged: its grey scale or palette cannot be read; export it again') from None
