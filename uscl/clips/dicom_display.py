"""From stored DICOM values to what a viewer shows: modality, window or lookup table, palette; pure functions."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from .dicom_header import number_of, value_of
from .grey_range import scale_to_unit

if TYPE_CHECKING:
    from pydicom import Dataset


def to_display(pixels: np.ndarray, header: 'Dataset', limits: tuple[float, float] | None = None) -> np.ndarray:
    """An RGB frame (H, W, 3), uint8.

    Grey: modality lookup table or rescale, then the first of these that exists: VOI lookup table, window, ``limits``,
    the range of the stored bits; MONOCHROME1 is inverted. Palettes are applied; colours keep their upper eight bits.

    Args:
        pixels: (H, W) or (H, W, 3), as stored, but YBR converted to RGB.
        header: Elements of group 0028.
        limits: Values to show as black and white, by :func:`find_range`, if :func:`needs_range`.
    """
    from pydicom.pixels import apply_color_lut

    kind = header.PhotometricInterpretation
    if kind == 'PALETTE COLOR':
        rgb = apply_color_lut(_drop_unused_bits(pixels, header), header)[..., :3]
        return rgb if rgb.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)
    if not kind.startswith('MONOCHROME'):
        return (pixels >> max(header.BitsStored - 8, 0)).astype(np.uint8)
    grey = _to_unit(pixels, header, limits)
    if kind == 'MONOCHROME1':
        grey = 1 - grey
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=2)


def mend_rescale(header: 'Dataset') -> list[str]:
    """Replace a rescale slope or intercept that is not a number, or a slope of 0, by one that changes nothing.

    Returns:
        What was assumed, such as ``RescaleSlope 1``.
    """
    assumed = []
    for keyword, neutral in (('RescaleSlope', 1), ('RescaleIntercept', 0)):
        number = number_of(header, keyword)
        if keyword in header and (number is None or (keyword == 'RescaleSlope' and number == 0)):
            setattr(header, keyword, neutral)
            assumed.append(f'{keyword} {neutral}')
    return assumed


def needs_range(header: 'Dataset') -> bool:
    """Whether black and white must be determined from the pixels: there is no window, and they are not plain 8 bits."""
    if not header.PhotometricInterpretation.startswith('MONOCHROME') or _window(header) or _has_voi_lut(header):
        return False
    is_plain = (
        header.BitsStored <= 8 and header.PixelRepresentation == 0 and not value_of(header, 'ModalityLUTSequence')
    )
    return not is_plain or (number_of(header, 'RescaleSlope') or 1) != 1 or bool(number_of(header, 'RescaleIntercept'))


def find_range(frames: Iterable[np.ndarray], header: 'Dataset') -> tuple[float, float]:
    """Lowest and highest value (after the modality step) in all frames, of which one at a time is held."""
    low, high = np.inf, -np.inf
    for pixels in frames:
        values = _to_modality(pixels, header)
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def apply_window(values: np.ndarray, center: float, width: float, function: str = 'LINEAR') -> np.ndarray:
    """Map values to [0, 1] (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3).

    >>> apply_window(np.array([0.0, 127.5, 255.0]), 128, 256)
    array([0. , 0.5, 1. ])
    """
    if function == 'SIGMOID':
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == 'LINEAR_EXACT':
        return np.clip((values - center) / width + 0.5, 0, 1)
    if width == 1:  # the standard's linear function divides by width - 1: a threshold
        return (values > center - 0.5).astype(float)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def _to_unit(pixels: np.ndarray, header: 'Dataset', limits: tuple[float, float] | None) -> np.ndarray:
    from pydicom.pixels import apply_voi

    values = _to_modality(pixels, header)
    if _has_voi_lut(header):
        bits = header.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi(values.astype(np.int32), header, 0) / (2.0**bits - 1)
    if window := _window(header):
        return apply_window(values, *window)
    if limits is None:
        return values / (2.0**header.BitsStored - 1)
    return scale_to_unit(values, limits)


def _to_modality(pixels: np.ndarray, header: 'Dataset') -> np.ndarray:
    from pydicom.pixels import apply_modality_lut

    return apply_modality_lut(_drop_unused_bits(pixels, header), header).astype(np.float64)


def _drop_unused_bits(pixels: np.ndarray, header: 'Dataset') -> np.ndarray:
    """Old files keep overlays in the bits above BitsStored."""
    if header.PixelRepresentation or header.BitsStored >= header.BitsAllocated:
        return pixels
    return pixels & ((1 << header.BitsStored) - 1)


def _window(header: 'Dataset') -> tuple[float, float, str] | None:
    center, width = number_of(header, 'WindowCenter'), number_of(header, 'WindowWidth')
    function = value_of(header, 'VOILUTFunction') or 'LINEAR'
    if center is None or width is None or width <= 0 or (function == 'LINEAR' and width < 1):
        return None
    return center, width, function


def _has_voi_lut(header: 'Dataset') -> bool:
    return bool(value_of(header, 'VOILUTSequence'))
