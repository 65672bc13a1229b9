"""Write DICOM files of known pixels, and of a patient whose data must not turn up anywhere."""

import io
import warnings

import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import encoders
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

SYNTAXES = {
    'explicit': ExplicitVRLittleEndian,
    'implicit': ImplicitVRLittleEndian,
    'big': ExplicitVRBigEndian,
    'rle': RLELossless,
    'jpeg': JPEGBaseline8Bit,
}
# Every value is a word that occurs nowhere else; parts are what may be looked for.
SECRETS = {
    'PatientName': 'Quuxley^Zebediah',
    'PatientID': 'PID7391846',
    'PatientBirthDate': '19310823',
    'StudyDate': '20170619',
    'AccessionNumber': 'ACC5548213',
    'InstitutionName': 'Grumbleworth Infirmary',
    'ReferringPhysicianName': 'Snorkelby^Ada',
    'StudyInstanceUID': '1.2.826.0.1.3680043.8.498.777111',
    'SeriesInstanceUID': '1.2.826.0.1.3680043.8.498.777222',
}
SOP_INSTANCE = '1.2.826.0.1.3680043.8.498.777333'
PRIVATE = 'WIBBLEPRIVATE42'
TRACES = ['Quuxley', 'Zebediah', 'Grumbleworth', 'Infirmary', 'Snorkelby', PRIVATE, '3680043.8.498.777']
TRACES += [SECRETS[key] for key in ('PatientID', 'PatientBirthDate', 'StudyDate', 'AccessionNumber')]


def write_dicom(path, stored, photometric='MONOCHROME2', syntax='explicit', secret=False, edit=None, **elements):
    """Write stored values, (N, H, W) or (N, H, W, 3), unsigned or signed integers; ``edit`` may change the dataset."""
    uid = SYNTAXES[syntax]
    encoding = {'is_implicit_VR': syntax == 'implicit', 'is_little_endian': syntax != 'big'}
    dataset = FileDataset(str(path), {}, file_meta=FileMetaDataset(), preamble=b'\0' * 128, **encoding)
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = '1.2.840.10008.5.1.4.1.1.3.1'
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = SOP_INSTANCE
    if secret:
        for keyword, value in SECRETS.items():
            setattr(dataset, keyword, value)
        dataset.private_block(0x0011, 'WIBBLE', create=True).add_new(1, 'LO', PRIVATE)
    samples = 3 if stored.ndim == 4 else 1
    bits = stored.dtype.itemsize * 8
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = samples, photometric
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = stored.shape[:3]
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(stored.dtype.kind == 'i')
    if samples == 3:
        dataset.PlanarConfiguration = 0
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    pixel_vr = 'OB' if bits == 8 else 'OW'
    if syntax == 'rle':
        encoder = encoders.RLELosslessEncoder
        kwargs = {
            'rows': dataset.Rows, 'columns': dataset.Columns, 'samples_per_pixel': samples, 'bits_allocated': bits,
            'bits_stored': bits, 'pixel_representation': dataset.PixelRepresentation, 'number_of_frames': 1,
            'photometric_interpretation': photometric, 'planar_configuration': 0,
        }  # fmt: skip
        data = encapsulate([encoder.encode(frame, **kwargs) for frame in stored])
    elif syntax == 'jpeg':
        data = encapsulate([_jpeg(frame) for frame in stored])
    else:
        data = stored.astype(stored.dtype.newbyteorder('>' if syntax == 'big' else '<')).tobytes()
        data += b'\0' * (len(data) % 2)
    dataset.add_new(0x7FE00010, 'OB' if syntax in ('rle', 'jpeg') else pixel_vr, data)
    if edit is not None:
        edit(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # wrong values are written on purpose
        pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
        try:
            dataset.save_as(path, enforce_file_format=True)
        finally:
            pydicom.config.settings._writing_validation_mode = None
    return path


def _jpeg(frame):
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, 'JPEG', quality=95, subsampling=0)
    return buffer.getvalue()
