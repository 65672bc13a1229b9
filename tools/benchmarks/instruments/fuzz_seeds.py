"""Small valid files of every kind that is read, generated here to be damaged by fuzzing."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from uscl.data.annotations import read_annotations
from uscl.data.folder_writer import write_data_folder
from uscl.data.store_writer import StoreWriter

from .damaged_files import DECOY

SIZE = 32  # pixels


def moving_square(count: int = 6) -> np.ndarray:
    """(count, 32, 32, 3), uint8: a moving bright square."""
    frames = np.random.default_rng(0).integers(0, 60, (count, SIZE, SIZE, 3), np.uint8)
    for index, frame in enumerate(frames):
        frame[8:16, index * 3 : index * 3 + 12] = 220
    return frames


def clip(path: Path, codec: str, pixels: str) -> bytes:
    """A clip of twelve frames, written by FFmpeg."""
    with av.open(str(path), 'w') as container:
        stream: Any = container.add_stream(codec, rate=25)  # a video stream
        stream.width = stream.height = SIZE
        stream.pix_fmt = pixels
        for frame in moving_square(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format='rgb24')))
        container.mux(stream.encode(None))
    return path.read_bytes()


def picture(mode: str, suffix: str) -> bytes:
    """An image in a Pillow mode."""
    image = Image.fromarray(moving_square(1)[0])
    if mode == 'I;16':
        image = Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) << 8)
    elif mode != 'RGB':
        image = image.convert(mode)
    return encode(image, suffix)


def encode(image: Image.Image, suffix: str) -> bytes:
    """The file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, {'.jpg': 'JPEG', '.tif': 'TIFF'}.get(suffix, suffix[1:].upper()))
    return buffer.getvalue()


def dicom(is_implicit: bool, as_jpeg: bool) -> bytes:
    """Four grey frames; uncompressed files are implicit or explicit little endian."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, generate_uid

    syntax = '1.2.840.10008.1.2' + ('.4.50' if as_jpeg else '' if is_implicit else '.1')
    element = FileDataset('', {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    element.file_meta.TransferSyntaxUID = UID(syntax)
    element.file_meta.MediaStorageSOPClassUID = element.SOPClassUID = UID('1.2.840.10008.5.1.4.1.1.3.1')
    uid = generate_uid(entropy_srcs=['fuzz'])
    element.file_meta.MediaStorageSOPInstanceUID = element.SOPInstanceUID = uid
    frames = moving_square(4)[..., 0]
    element.SamplesPerPixel, element.PhotometricInterpretation = 1, 'MONOCHROME2'
    element.NumberOfFrames, element.Rows, element.Columns = frames.shape
    element.BitsAllocated = element.BitsStored = 8
    element.HighBit, element.PixelRepresentation, element.FrameTime = 7, 0, '40'
    element.PixelData = (
        encapsulate([encode(Image.fromarray(frame), '.jpg') for frame in frames]) if as_jpeg else frames.tobytes()
    )
    element['PixelData'].VR = 'OB'
    buffer = io.BytesIO()
    element.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


class _Planted:
    """Its pickle would run code if anything unpickled it."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def planted() -> list[Any]:
    """Objects whose pickles try to run code."""
    return [_Planted(os.system, f'touch {DECOY}'), _Planted(open, DECOY, 'w'), _Planted(os.remove, DECOY)]


def dataset(root: Path) -> tuple[list[dict], dict[str, bytes]]:
    """Three small videos with a store: the entries of the annotation, and all files by name."""
    videos = []
    for number, (name, label) in enumerate((('a', 'covid'), ('b', 'regular'), ('c', None))):
        frames = [pixels[: 8 + number, :12] if number else pixels[:8, :12, 0] for pixels in moving_square(4)]
        videos.append({'video_id': name, 'patient_id': f'p{number}', 'label': label, 'frames': frames})
    write_data_folder(root, videos, classes=['covid', 'regular'], settings={'fps': 3.0})
    files = [path for path in root.rglob('*') if path.is_file()]
    entries = read_annotations(root / 'annotations.json')['data_list']
    return entries, {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def unfinished_store(root: Path) -> dict[str, bytes]:
    """The store of a run interrupted after two videos: a shard and its journal, without an index."""
    with StoreWriter(root, 'ab') as store:
        for name in 'ab':
            store.add(name, moving_square(3), {})
    files = (root / 'store').iterdir()
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
