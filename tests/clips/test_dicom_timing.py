import numpy as np
import pytest

pytest.importorskip('pydicom')
from dicom_files import write_dicom

from uscl.clips.dicom_reader import DicomReader

VECTOR = 0x00181065
BY_VECTOR = ['frame rate by FrameTimeVector']


def read(path, fps=None):
    reader = DicomReader(path, fps)
    return [int(frame[0, 0, 0]) for frame in reader], reader


def write(path, count=12, **elements):
    stored = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    return write_dicom(path, stored, **elements)


@pytest.mark.parametrize('length', [11, 12, 13, 20])
def test_length_of_the_vector(tmp_path, length):
    """One step short: the first is missing, which says nothing; what is too long ends with the last frame."""
    got, reader = read(write(tmp_path / 'a.dcm', FrameTimeVector=[100] * length, FrameIncrementPointer=VECTOR), fps=3)
    assert got == [0, 4, 7, 10]
    np.testing.assert_allclose(reader.times, [0, 0.4, 0.7, 1.0])
    assert reader.facts['frame_rate'] == 10
    assert reader.facts.get('assumed') == (None if length == 12 else BY_VECTOR)


def test_uneven_steps_of_a_short_vector(tmp_path):
    _, whole = read(write(tmp_path / 'a.dcm', 4, FrameTimeVector=[7, 100, 400, 10]))
    _, short = read(write(tmp_path / 'b.dcm', 4, FrameTimeVector=[100, 400, 10]))
    np.testing.assert_allclose(whole.times, [0, 0.1, 0.5, 0.51])
    assert short.times == whole.times and 'assumed' not in whole.facts and short.facts['assumed'] == BY_VECTOR
    _, two = read(write(tmp_path / 'c.dcm', 2, FrameTimeVector=400))
    np.testing.assert_allclose(two.times, [0, 0.4])


@pytest.mark.parametrize(
    'vector', [[100] * 10, [0] * 12, [100] * 11 + [-100], [100] * 11 + ['NaN'], [100] * 11 + ['inf']]
)
def test_vectors_that_cannot_be(tmp_path, vector):
    _, alone = read(write(tmp_path / 'a.dcm', FrameTimeVector=vector, FrameIncrementPointer=VECTOR))
    assert alone.facts['frame_rate'] == 25 and alone.facts['assumed'] == ['frame rate']
    _, other = read(write(tmp_path / 'b.dcm', FrameTimeVector=vector, FrameIncrementPointer=VECTOR, CineRate=20))
    assert other.facts['frame_rate'] == 20 and 'assumed' not in other.facts


@pytest.mark.parametrize(
    ('elements', 'rate', 'assumed'),
    [
        ({'FrameTime': '0'}, 25, ['frame rate']),
        ({'FrameTime': '-40'}, 25, ['frame rate']),
        ({'FrameTime': 'NaN'}, 25, ['frame rate']),
        ({'FrameTime': 'inf'}, 25, ['frame rate']),
        ({'FrameTime': '0.03333'}, 25, ['frame rate']),  # in seconds: 30,000 frames a second
        ({'FrameTime': '0', 'CineRate': 20}, 20, None),
        ({'FrameTime': '0.03333', 'CineRate': 30}, 30, ['frame rate by CineRate']),
        ({'FrameTime': '33333', 'RecommendedDisplayFrameRate': 30}, 30, ['frame rate by RecommendedDisplayFrameRate']),
        ({'FrameTime': '1', 'CineRate': 30}, 1000, ['frame rate by FrameTime']),
        ({'FrameTime': '1000', 'CineRate': 30}, 1, ['frame rate by FrameTime']),
        ({'FrameTime': '33.33', 'CineRate': 30}, 1000 / 33.33, None),
        ({'FrameTime': '20', 'CineRate': 10, 'RecommendedDisplayFrameRate': 30}, 50, None),
        ({'CineRate': 3, 'RecommendedDisplayFrameRate': 30}, 3, ['frame rate by CineRate']),
        ({'FrameTimeVector': [100] * 12, 'FrameIncrementPointer': VECTOR, 'FrameTime': '1'}, 10, BY_VECTOR),
    ],
)
def test_which_rate_is_taken(tmp_path, elements, rate, assumed):
    _, reader = read(write(tmp_path / 'a.dcm', **elements))
    assert reader.facts['frame_rate'] == pytest.approx(rate) and reader.facts.get('assumed') == assumed
    np.testing.assert_allclose(np.diff(reader.times), 1 / rate, atol=1e-6)


def test_a_still_needs_no_rate(tmp_path):
    _, reader = read(write(tmp_path / 'a.dcm', 1))
    assert 'assumed' not in reader.facts
