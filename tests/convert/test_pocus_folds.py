import gc
import json
import pickle
import weakref
from collections import Counter

import numpy as np
import pytest

from uscl.convert.pocus import pocus_folds
from uscl.convert.pocus.pocus_folds import convert_folds, list_fold_files
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations
from uscl.data.frame_store import damaged_videos, read_index
from uscl.data.video_folder import VideoFolder

SETTINGS = StoreSettings(size=256, color='color')
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 3, 9, 11), dtype=np.uint8)
LABELS = np.arange(20) % 3


def make_fold(test, dtype=np.uint8, container=tuple):
    """Images `test` of IMAGES on one side, all others on the other."""
    train = [i for i in range(20) if i not in test]
    return container([IMAGES[train].astype(dtype), LABELS[train], IMAGES[test].astype(dtype), LABELS[test]])


def write(folder, number, fold, protocol=4):
    folder.mkdir(exist_ok=True)
    (folder / f'covid_data{number}.pkl').write_bytes(pickle.dumps(fold, protocol))


@pytest.fixture
def source(tmp_path):
    """Five folds of twenty images, each on the test side once; protocols, types and containers differ."""
    kinds = [(np.uint8, tuple), (np.float32, list), (np.float64, tuple), (np.int64, list), (np.float16, tuple)]
    for k, (dtype, container) in enumerate(kinds):
        fold = make_fold(list(range(4 * k, 4 * k + 4)), dtype, container)
        write(tmp_path / 'src', k + 1, fold, protocol=2 + min(k, 3))
    return tmp_path / 'src'


def convert(source, out, settings=SETTINGS):
    assert convert_folds(list_fold_files(source, out), out, settings) == 0
    return read_annotations(out / 'annotations.json')


def image_of(out, annotations, video_id):
    folder = VideoFolder(out)
    (index,) = [k for k, entry in enumerate(folder.entries) if entry['video_id'] == video_id]
    (frame,) = folder.load(index, [0])
    assert folder.entries == annotations['data_list']
    return frame, folder.entries[index]['label']


def places(out):
    return {name: (video.shard, video.offset) for name, video in read_index(out).videos.items()}


def test_folds_are_kept_and_every_image_is_stored_once(source, tmp_path, capsys):
    annotations = convert(source, tmp_path / 'out')
    meta, entries = annotations['metainfo'], annotations['data_list']
    assert meta['classes'] == ['covid', 'pneumonia', 'regular']
    assert (meta['grouping'], meta['settings']['size'], len(meta['folds'])) == ('unknown', 256, 5)
    assert len(entries) == 20 == len(places(tmp_path / 'out'))
    assert all(entry['patient_id'] is None and entry['split'] is None for entry in entries)
    for k, fold in enumerate(meta['folds']):
        with (source / f'covid_data{k + 1}.pkl').open('rb') as file:
            x_train, y_train, x_test, y_test = pickle.load(file)  # what the authors' code does
        for side, images, labels in (('train', x_train, y_train), ('test', x_test, y_test)):
            assert len(fold[side]) == len(images)
            for video_id, image, label in zip(fold[side], images, labels, strict=True):
                stored, name = image_of(tmp_path / 'out', annotations, video_id)
                np.testing.assert_array_equal(stored, image.transpose(1, 2, 0))
                assert name == meta['classes'][label]
    assert meta['folds'][0]['test'] == [f'fold1/test/{i:06d}' for i in range(4)]
    assert meta['folds'][1]['train'][4] == 'fold1/train/000004'  # image 8
    printed = capsys.readouterr().out
    assert 'are a leak' not in printed and '20 converted now, 0 complete already' in printed
    lines = [' '.join(line.replace('│', ' ').split()) for line in printed.splitlines()]
    assert '5 16 4 0' in lines and 'total 20 20 - 0' in lines


def test_repeated_and_leaked_images(source, tmp_path, capsys):
    images, labels = IMAGES[[0, 1, 1, 2]], [0, 1, 1, 2]
    # Test: image 0 has another label here, image 2 is in train as well (twice here), image 5 is not.
    write(source, 1, (images, labels, IMAGES[[0, 2, 2, 5]], [1, 2, 2, 0]))
    annotations = convert(source, tmp_path / 'out')
    fold = annotations['metainfo']['folds'][0]
    assert fold['train'] == [f'fold1/train/{i:06d}' for i in (0, 1, 1, 3)]
    assert fold['test'] == ['fold1/test/000000', 'fold1/train/000003', 'fold1/train/000003', 'fold1/test/000003']
    printed = capsys.readouterr().out
    lines = [' '.join(line.replace('│', ' ').split()) for line in printed.splitlines()]
    assert '1 4 4 3' in lines and '2 16 4 0' in lines
    assert 'are a leak' in printed and '2 images with more than one label' in printed
    assert max(Counter(entry['video_id'] for entry in annotations['data_list']).values()) == 1


def test_second_run_writes_nothing(source, tmp_path, capsys):
    first = convert(source, tmp_path / 'out')
    before = places(tmp_path / 'out')
    capsys.readouterr()
    assert convert(source, tmp_path / 'out') == first and places(tmp_path / 'out') == before
    assert '0 converted now, 20 complete already' in capsys.readouterr().out


def test_only_what_changed_is_written_again(source, tmp_path, capsys):
    out = tmp_path / 'out'
    convert(source, out)
    write(source, 5, make_fold([16]))  # the same images on other sides
    capsys.readouterr()
    convert(source, out)
    assert '0 converted now, 20 complete already' in capsys.readouterr().out
    # Without image 0, fold 1 is no longer where it occurs first: fold 2 has to store it.
    write(source, 1, (IMAGES[1:], LABELS[1:], IMAGES[[3]], LABELS[[3]]))
    annotations = convert(source, out)
    assert annotations['metainfo']['folds'][1]['train'][0] == 'fold2/train/000000'
    np.testing.assert_array_equal(image_of(out, annotations, 'fold2/train/000000')[0], IMAGES[0].transpose(1, 2, 0))
    assert convert(source, tmp_path / 'fresh') == annotations and damaged_videos(out) == {}
    assert set(places(out)) == set(places(tmp_path / 'fresh'))
    capsys.readouterr()
    convert(source, out, StoreSettings(size=4, color='color'))
    assert '20 converted now' in capsys.readouterr().out


def test_interrupted_run_goes_on(source, tmp_path, monkeypatch, capsys):
    original, count = pocus_folds._to_rgb, iter(range(99))

    def stop(pixels):
        if next(count) == 5:
            raise KeyboardInterrupt
        return original(pixels)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pocus_folds, '_to_rgb', stop)
        convert(source, tmp_path / 'out')
    assert not (tmp_path / 'out/annotations.json').exists()
    capsys.readouterr()
    annotations = convert(source, tmp_path / 'out')
    assert '15 converted now, 5 complete already' in capsys.readouterr().out
    assert annotations == convert(source, tmp_path / 'fresh') and damaged_videos(tmp_path / 'out') == {}


def test_one_file_at_a_time(source, tmp_path, monkeypatch):
    alive, original = [], pocus_folds.load_arrays

    def load(file):
        gc.collect()
        assert not [array for array in alive if array() is not None]
        content = original(file)
        alive.append(weakref.ref(content[0]))
        return content

    monkeypatch.setattr(pocus_folds, 'load_arrays', load)
    convert(source, tmp_path / 'out')
    assert len(alive) == 5


@pytest.mark.parametrize(
    ('color', 'channels', 'stored_axes'), [('auto', 1, 2), ('auto', 3, 3), ('gray', 3, 2), ('color', 1, 3)]
)
def test_size_and_colour(color, channels, stored_axes, tmp_path):
    images = RNG.integers(0, 256, (2, channels, 40, 60), dtype=np.uint8)
    for number in range(1, 6):
        write(tmp_path / 'src', number, (images[:1], [0], images[1:], [1]))
    annotations = convert(tmp_path / 'src', tmp_path / 'out', StoreSettings(size=20, color=color))
    assert len(annotations['data_list']) == 2
    frame = VideoFolder(tmp_path / 'out')[0]['frames'][0]
    assert frame.shape[:2] == (20, 30) and frame.ndim == stored_axes


def test_fractions_are_cut_off_as_in_the_released_code(tmp_path):
    images = RNG.uniform(0, 255, (2, 3, 8, 8))
    for number in range(1, 6):
        write(tmp_path / 'src', number, (images[:1], np.array([0.0]), images[1:], [np.int64(2)]))
    annotations = convert(tmp_path / 'src', tmp_path / 'out')
    stored, _ = image_of(tmp_path / 'out', annotations, 'fold1/train/000000')
    np.testing.assert_array_equal(stored, images[0].transpose(1, 2, 0).astype('uint8'))


def test_missing_files(source, tmp_path):
    (source / 'covid_data2.pkl').unlink()
    (source / 'covid_data5.pkl').unlink()
    with pytest.raises(SourceError, match=r'src lacks covid_data2\.pkl, covid_data5\.pkl: put all five'):
        list_fold_files(source)
    assert list_fold_files(tmp_path) == []


X, Y = IMAGES[:4], LABELS[:4]


@pytest.mark.parametrize(
    ('fold', 'message'),
    [
        ((X, Y, X), r'should hold X_train, y_train, X_test and y_test'),
        ({'X_train': X}, r'should hold X_train'),
        ((X, Y[:3], X, Y), r'y_train should be 4 labels .* got shape \(3,\)'),
        ((X, Y, X[:2], Y), r'y_test should be 2 labels'),
        ((X, Y, X, np.array([0, 1, 2, 3])), r'y_test should be 4 labels 0, 1 or 2.*\[0, 1, 2, 3\]'),
        ((X, np.array([0, 1, -1, 0]), X, Y), r'y_train'),
        ((X, np.array([0, 1, 0.5, 0]), X, Y), r'y_train'),
        ((X, np.eye(4), X, Y), r'y_train.* got shape \(4, 4\)'),
        ((X, ['0', '1', '2', '0'], X, Y), r'y_train'),
        ((X, [[0], [0, 1], 0, 0], X, Y), r'y_train'),
        ((X[0], Y, X, Y), r'X_train should be an array \(N, C, H, W\).* got shape \(3, 9, 11\)'),
        ((X, Y, X.transpose(0, 2, 3, 1), Y), r'X_test should be an array .* got shape \(4, 9, 11, 3\)'),
        ((X, Y, X[:0], Y[:0]), r'X_test should be an array'),
        ((X.tolist(), Y, X, Y), r'X_train should be an array .* got list'),
        ((X, Y, X > 9, Y), r'X_test should hold integers or floats, got bool'),
        ((X, Y, X.astype(int) + 1, Y), r'X_test should hold values in 0\.\.255, got 1 to 256'),
        ((X - 1.0, Y, X, Y), r'X_train should hold values in 0\.\.255, got -1 to'),
        ((X, Y, np.where(X > 250, np.nan, X), Y), r'X_test should hold values in 0\.\.255, got nan'),
        ((X / 255, Y, X, Y), r'X_train should hold values in 0\.\.255, got 0 to 1'),
    ],
)
def test_wrong_arrays_are_named(fold, message, source, tmp_path):
    write(source, 2, fold)
    with pytest.raises(SourceError, match=rf'covid_data2\.pkl:? .*{message}') as caught:
        convert(source, tmp_path / 'out')
    assert caught.value.exit_code == 1 and '\n' not in str(caught.value)
    assert not (tmp_path / 'out/annotations.json').exists()
    assert len(places(tmp_path / 'out')) == 20  # kept for the next run


def test_out_cannot_be_written(source, tmp_path):
    (tmp_path / 'out').touch()
    with pytest.raises(SourceError, match=r'cannot write to .*out'):
        convert(source, tmp_path / 'out')


def test_annotation_is_plain_json(source, tmp_path):
    convert(source, tmp_path / 'out')
    assert json.loads((tmp_path / 'out/annotations.json').read_text())['metainfo']['settings']['fps'] is None
