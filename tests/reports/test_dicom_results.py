"""DICOM reports and segmentations, read back by pydicom and checked by dciodvfy where it is installed."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from dicom_files import SECRETS, SOP_INSTANCE, TRACES, write_dicom
from pycocotools import mask as coco_mask

from uscl.core.errors import ClipError
from uscl.reports.dicom_report import write_report
from uscl.reports.dicom_result import NOTICE, UsedModel
from uscl.reports.dicom_segmentation import write_segmentation

highdicom = pytest.importorskip('highdicom')
MODEL = UsedModel('model.pth', 'ab' * 32, {'fps': 3.0, 'min_frames': 8})
MULTI_FRAME = '1.2.840.10008.5.1.4.1.1.3.1'
# Those of SECRETS that a result of the same study and patient must bear.
FILED = ('PatientName', 'PatientID', 'PatientBirthDate', 'StudyDate', 'AccessionNumber', 'ReferringPhysicianName')


def verify(path):
    """Refuse an error of dciodvfy."""
    if shutil.which('dciodvfy'):
        said = subprocess.run(['dciodvfy', path], capture_output=True, text=True).stderr
        assert said and not [line for line in said.splitlines() if line.startswith('Error')], said


def source(tmp_path, frames=5, name='a.dcm', **elements):
    elements = {'FrameTime': '40', 'secret': True} | elements
    return write_dicom(tmp_path / name, np.zeros((frames, 13, 21), np.uint8), **elements)


def prediction(clip, **changes):
    probabilities = {'normal': 0.25, 'pneumonia \\ ü' * 9: 0.625, 'x': 0.125}
    facts = {'predicted': 'normal', 'probabilities': probabilities, 'agreement': 0.8, 'unusual': True}
    return {'clip': str(clip), 'frames': 5, 'distance': 1.0} | facts | changes


def numbers(dataset):
    """Meaning of the name → value of all measurements."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(item.MeasuredValueSequence[0].NumericValue)
        for item in items(dataset)
        if item.ValueType == 'NUM'
    }


def items(dataset):
    for item in dataset.get('ContentSequence', ()):
        yield item
        yield from items(item)


def texts(dataset):
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.TextValue for item in items(dataset) if 'TextValue' in item
    }


def assert_filed(made, origin):
    for keyword in (*FILED, 'StudyInstanceUID'):
        assert made[keyword].value == SECRETS[keyword], keyword
    for keyword in ('SOPInstanceUID', 'SeriesInstanceUID'):
        assert made[keyword].value != origin[keyword].value
    kept = {SECRETS[keyword] for keyword in (*FILED, 'StudyInstanceUID', 'SeriesInstanceUID')}
    text = made.to_json()
    for trace in TRACES:  # nothing else of the patient, of the institution or private
        assert trace not in text or any(trace in value for value in kept) or trace in SOP_INSTANCE
    assert 'Grumbleworth' not in text and 'WIBBLE' not in text


def test_a_report(tmp_path):
    clip = source(tmp_path)
    row = prediction(clip)
    path = write_report(row, MODEL, tmp_path / 'out')
    verify(path)
    made = pydicom.dcmread(path)
    assert made.SOPClassUID == pydicom.uid.ComprehensiveSRStorage and made.Modality == 'SR'
    assert made.ContentTemplateSequence[0].TemplateIdentifier == '1500'
    assert_filed(made, pydicom.dcmread(clip))
    found = numbers(made)
    assert sorted(found.values()) == [0.125, 0.25, 0.625, 0.8] and found['Probability of normal'] == 0.25
    assert all(len(name) <= 64 and '\\' not in name for name in found)
    said = texts(made)
    assert said['Comment'] == NOTICE and 'not a medical device' in NOTICE
    assert said['Algorithm Name'] == 'model.pth' and said['Algorithm Version']
    parameters = [i.TextValue for i in items(made) if 'TextValue' in i and 'SHA-256' in i.TextValue]
    assert parameters == [f'SHA-256: {MODEL.digest}']
    codes = {
        i.ConceptNameCodeSequence[0].CodeMeaning: i.ConceptCodeSequence[0].CodeMeaning
        for i in items(made)
        if i.ValueType == 'CODE'
    }
    assert codes['Predicted class'] == 'normal' and codes['Far from the training data'] == 'yes'
    (image,) = [item for item in items(made) if item.ValueType == 'IMAGE']
    reference = image.ReferencedSOPSequence[0]
    assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (MULTI_FRAME, SOP_INSTANCE)
    evidence = made.CurrentRequestedProcedureEvidenceSequence[0]
    assert evidence.ReferencedSeriesSequence[0].SeriesInstanceUID == SECRETS['SeriesInstanceUID']
    content = highdicom.sr.srread(path).content
    (group,) = content.get_image_measurement_groups()
    assert len(group.get_measurements()) == 4


def test_one_result_for_one_source_model_and_settings(tmp_path):
    clip, out = source(tmp_path), tmp_path / 'out'
    first = write_report(prediction(clip), MODEL, out)
    content = first.read_bytes()
    assert write_report(prediction(clip, predicted='x'), MODEL, out) == first and first.read_bytes() == content
    others = [UsedModel('model.pth', 'cd' * 32, MODEL.settings), UsedModel('model.pth', MODEL.digest, {'fps': 5.0})]
    paths = {first, *(write_report(prediction(clip), model, out) for model in others)}
    paths.add(write_report(prediction(source(tmp_path, 6)), MODEL, out))
    assert len(paths) == 4 == len({pydicom.dcmread(path).SOPInstanceUID for path in paths})
    assert set(out.iterdir()) == paths


def test_a_name_in_another_character_set_and_missing_values(tmp_path):
    def rename(dataset):
        dataset.SpecificCharacterSet = 'ISO_IR 100'
        dataset.PatientName = 'Müller^Jörg'
        for keyword in ('AccessionNumber', 'StudyDate', 'PatientBirthDate', 'ReferringPhysicianName'):
            del dataset[keyword]

    path = write_report(prediction(source(tmp_path, edit=rename), unusual=None), MODEL, tmp_path)
    verify(path)
    made = pydicom.dcmread(path)
    assert made.PatientName == 'Müller^Jörg' and not made.AccessionNumber and not made.StudyDate
    assert 'Far from' not in made.to_json()


def detections(*found):
    rows = [{'frame': k, 'source_frame': f, 'class': c, 'score': s} for k, (f, c, s, _) in enumerate(found, start=1)]
    return rows, [coco_mask.encode(np.asfortranarray(mask)) for *_, mask in found]


def square(top, left, shape=(13, 21)):
    mask = np.zeros(shape, np.uint8)
    mask[top : top + 4, left : left + 5] = 1
    return mask


@pytest.mark.parametrize('frames', [1, 5])
def test_a_segmentation(tmp_path, frames):
    clip = source(tmp_path, frames, LossyImageCompression='01')
    last = frames
    rows, masks = detections(
        (last, 'cyst', 0.5, square(2, 3)), (last, 'tumour', 0.75, square(4, 5)), (1, 'tumour', 0.625, square(8, 15))
    )
    row = {'clip': str(clip), 'frames': 2, 'detections': rows}
    path = write_segmentation(row, masks, ['cyst', 'tumour', 'other'], MODEL, tmp_path / 'out')
    verify(path)
    made = pydicom.dcmread(path)
    assert made.SOPClassUID == pydicom.uid.SegmentationStorage and made.ContentDescription == NOTICE
    assert_filed(made, pydicom.dcmread(clip))
    wanted = {(1, last): square(2, 3), (2, last): square(4, 5), (2, 1): square(8, 15)}
    if frames == 1:
        wanted[2, 1] = square(4, 5) | square(8, 15)
    pixels = made.pixel_array.reshape(-1, 13, 21)
    assert len(pixels) == made.NumberOfFrames == len(wanted)
    for group, frame in zip(made.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        origin = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert (origin.ReferencedSOPClassUID, origin.ReferencedSOPInstanceUID) == (MULTI_FRAME, SOP_INSTANCE)
        key = (group.SegmentIdentificationSequence[0].ReferencedSegmentNumber, origin.get('ReferencedFrameNumber', 1))
        assert list(group.FrameContentSequence[0].DimensionIndexValues) == list(key)
        np.testing.assert_array_equal(frame, wanted.pop(key))
    assert not wanted and made.SegmentsOverlap == 'YES' and made.LossyImageCompression == '01'
    assert [segment.SegmentLabel for segment in made.SegmentSequence] == ['cyst', 'tumour', 'other']
    told = [segment.SegmentDescription for segment in made.SegmentSequence]
    assert told[1].startswith('2 findings, highest score 0.75') and told[2].startswith('no finding')
    algorithm = made.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == 'model.pth' and MODEL.digest in algorithm.AlgorithmParameters
    assert highdicom.seg.segread(path).number_of_segments == 3


def test_nothing_found_and_pixels_that_are_not_square(tmp_path):
    clip = source(tmp_path)
    path = write_segmentation({'clip': str(clip), 'detections': []}, [], ['cyst'], MODEL, tmp_path / 'none')
    verify(path)
    made = pydicom.dcmread(path)
    assert made.NumberOfFrames == 1 and not made.pixel_array.any()
    rows, masks = detections((2, 'cyst', 0.5, np.repeat(square(2, 3), 2, axis=0)))
    path = write_segmentation({'clip': str(clip), 'detections': rows}, masks, ['cyst'], MODEL, tmp_path / 'tall')
    np.testing.assert_array_equal(pydicom.dcmread(path).pixel_array, square(2, 3))


def test_what_no_result_can_refer_to(tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'x')
    with pytest.raises(ClipError, match=r'a\.mp4: not a DICOM file'):
        write_report(prediction(tmp_path / 'a.mp4'), MODEL, tmp_path / 'out')
    rows, _ = detections((1, 'cyst', 0.5, square(1, 1)))
    with pytest.raises(ClipError, match=r'a\.dcm: the detector gives boxes only'):
        write_segmentation(
            {'clip': str(source(tmp_path)), 'detections': rows}, [None], ['cyst'], MODEL, tmp_path / 'out'
        )
    lost = source(tmp_path, name='lost.dcm', edit=lambda dataset: dataset.pop('StudyInstanceUID'))
    with pytest.raises(ClipError, match=r'lost\.dcm: .*StudyInstanceUID'):
        write_report(prediction(lost), MODEL, tmp_path / 'out')
    wrong = source(tmp_path, name='wrong.dcm', PatientSex='WIBBLESEX')
    with pytest.raises(ClipError, match=r'wrong\.dcm') as caught:
        write_report(prediction(wrong), MODEL, tmp_path / 'out')
    assert 'WIBBLESEX' not in str(caught.value)
    assert not (tmp_path / 'out').exists()
    assert write_report(prediction(source(tmp_path)), MODEL, tmp_path / 'out').exists()
