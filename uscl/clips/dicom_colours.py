"""Colours of compressed DICOM, as stated by the code stream, since the header's label is often wrong."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from uscl.core.errors import ClipError

if TYPE_CHECKING:
    from pydicom import Dataset

_SOC_SIZ = b'\xff\x4f\xff\x51'  # how every JPEG 2000 code stream begins (ISO/IEC 15444-1, A.4.1 and A.5.1)
_COD = b'\xff\x52'


def is_coded_colour(header: 'Dataset') -> bool:
    """Whether :func:`decode_colours` applies: 8-bit colours in JPEG (not lossless) or JPEG 2000."""
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGBaseline8Bit, JPEGExtended12Bit

    syntaxes = (JPEGBaseline8Bit, JPEGExtended12Bit, *JPEG2000TransferSyntaxes)
    return header.SamplesPerPixel == 3 and header.BitsStored <= 8 and header.file_meta.TransferSyntaxUID in syntaxes


def decode_colours(stream: bytes, label: str, path: Path) -> np.ndarray:
    """Decode a colour frame.

    Markers, component ids and subsampling of JPEG, and the component transform of JPEG 2000, distinguish RGB from
    YCbCr. The label only counts if they do not decide.

    Args:
        stream: A JPEG or JPEG 2000 image.
        label: PhotometricInterpretation.
        path: The DICOM file, for messages.

    Returns:
        RGB, (H, W, 3), uint8.

    Raises:
        ClipError: The stream contradicts itself, or the label does not fit such a stream.
        Exception: Pillow's error for a stream that does not decode.
    """
    from pydicom.pixels import convert_color_space

    start = stream.find(_SOC_SIZ)
    if start < 0 or stream.startswith(b'\xff\xd8'):
        image = Image.open(BytesIO(stream), formats=['JPEG'])
        is_rgb = _is_rgb(_jpeg_signs(image), label, path)
        if is_rgb and not _is_rgb_to_libjpeg(image):
            image.draft('YCbCr', image.size)  # no conversion: the components already are RGB
        return np.asarray(image)
    # Without the boxes of a JP2 file around the stream: Pillow would convert from the colour space they name.
    pixels = np.asarray(Image.open(BytesIO(stream[start:]), formats=['JPEG2000']))
    if _is_rgb(_jpeg_2000_signs(stream[start:]), label, path):
        return pixels
    if label in ('YBR_ICT', 'YBR_RCT'):
        raise ClipError(path, f'its header says {label}, its code stream has no such transform: export it again')
    return convert_color_space(pixels, 'YBR_FULL', 'RGB')


def _is_rgb(signs: set[str], label: str, path: Path) -> bool:
    if len(signs) > 1:
        raise ClipError(path, 'its code stream says both RGB and YCbCr: export it again')
    return 'RGB' in signs if signs else label == 'RGB'


def _jpeg_signs(image: Image.Image) -> set[str]:
    signs = set()
    if 'jfif' in image.info:
        signs.add('YCbCr')
    if 'adobe_transform' in image.info:
        signs.add('YCbCr' if image.info['adobe_transform'] else 'RGB')
    if _component_ids(image) in (b'RGB', b'rgb'):
        signs.add('RGB')
    if len({component[1:3] for component in image.layer}) > 1:  # type: ignore[attr-defined]  # horizontal, vertical
        signs.add('YCbCr')
    return signs


def _is_rgb_to_libjpeg(image: Image.Image) -> bool:
    return image.info.get('adobe_transform') == 0 or _component_ids(image) == b'RGB'


def _component_ids(image: Image.Image) -> bytes:
    return bytes(component[0] for component in image.layer)  # type: ignore[attr-defined]


def _jpeg_2000_signs(stream: bytes) -> set[str]:
    """RGB if the decoder inverts a transform; YCbCr if a component is subsampled, since only chroma ever is."""
    signs = set()
    factors = stream[43 : 42 + 3 * int.from_bytes(stream[40:42], 'big')]  # after each component's depth (A.5.1)
    if len({factors[i : i + 2] for i in range(0, len(factors), 3)}) > 1:
        signs.add('YCbCr')
    position = 2
    while (marker := stream[position : position + 2]) and marker != _COD:
        position += 2 + int.from_bytes(stream[position + 2 : position + 4], 'big')
    if stream[position + 8 : position + 9] != b'\0':  # multiple component transformation (A.6.1)
        signs.add('RGB')
    return signs
