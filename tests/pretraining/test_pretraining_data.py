"""What is trained on, and who is held back."""

from pathlib import Path

import pytest

from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations
from uscl_plugin.datasets.video_clusters import VideoClusterDataset
from uscl_plugin.pretraining.pretraining_data import check_data, prepare_data


def prepare(options):
    said = []
    return prepare_data(options, said.append), said


def entries(folder):
    return read_annotations(Path(folder) / 'annotations.json')['data_list']


def test_clips_are_converted_once_and_patients_held_back(tiny, capsys):
    options = tiny()
    data, said = prepare(options)
    assert data.folder == Path(options.out) / 'data' and 'converting' in said[0]
    assert (data.num_train, data.num_held_out, data.held_out, data.classes) == (8, 2, 'val', ['a', 'b'])
    assert 'held back: 2 videos of 2 patients' in data.lines
    before = (data.folder / 'annotations.json').read_bytes()
    again, _ = prepare(options)
    assert again == data and (data.folder / 'annotations.json').read_bytes() == before


def test_a_data_folder_without_splits_stays_as_it_is_and_gets_them_elsewhere(tiny, patients):
    before = {path: path.stat().st_mtime_ns for path in patients.rglob('*')}
    data, _ = prepare(tiny(clips=patients))
    assert data.folder != patients and {path: path.stat().st_mtime_ns for path in patients.rglob('*')} == before
    sides = {
        split: {e['patient_id'] for e in entries(data.folder) if e['split'] == split} for split in ('train', 'val')
    }
    assert sides['train'] and sides['val'] and not sides['train'] & sides['val']
    assert data.num_train + data.num_held_out == len(entries(patients))
    dataset = VideoClusterDataset(data_root=str(data.folder), split='val', pipeline=[])
    assert len(dataset) == data.num_held_out and dataset[0]['num_frames'] > 0  # its frames are found


def test_a_data_folder_with_splits_is_used_as_it_is(tiny, make_clusters, tmp_path):
    videos = {f'a/v{k}': (4, 'a', f'p{k}') for k in range(4)}
    folder = make_clusters(tmp_path / 'with', videos, split='train')
    data, _ = prepare(tiny(clips=folder))
    assert (data.folder, data.train_split, data.held_out, data.num_train) == (folder, 'train', None, 4)


def test_nothing_is_held_back_of_too_few_patients(tiny, make_clusters, tmp_path):
    folder = make_clusters(tmp_path / 'few', {f'a/v{k}': (4, 'a', f'p{k % 2}') for k in range(3)})
    data, _ = prepare(tiny(clips=folder))
    assert (data.folder, data.held_out, data.num_train) == (folder, None, 3)
    assert any('too few patients' in line for line in data.lines)


def test_a_flat_folder_without_labels(tiny, write_unlike, tmp_path):
    for k in range(12):
        write_unlike(tmp_path / 'flat' / f'{k}.gif', k)
    data, _ = prepare(tiny(clips=tmp_path / 'flat'))
    assert (data.classes, data.num_train, data.num_held_out) == ([], 10, 2)
    assert any('no labels' in line for line in data.lines) and any(
        'patients are unknown' in line for line in data.lines
    )
    assert not data.can_be_evaluated()


@pytest.mark.parametrize('clips', [0, 1])
def test_what_cannot_be_learnt_from_is_refused(tiny, write_unlike, tmp_path, clips):
    folder = tmp_path / 'lone'
    folder.mkdir()
    for k in range(clips):
        write_unlike(folder / f'{k}.gif', k)
    with pytest.raises(SourceError) as error:
        prepare(tiny(clips=folder))
    assert str(folder) in str(error.value)


def test_unreadable_clips_are_counted_and_the_rest_is_used(tiny, write_unlike, clip_folder, tmp_path):
    folder = tmp_path / 'mixed'
    for k in range(4):
        write_unlike(folder / f'{k}.gif', k)
    (folder / 'broken.avi').write_bytes(b'RIFF' + bytes(300))
    data, _ = prepare(tiny(clips=folder))
    assert data.num_train + data.num_held_out == 4
    assert any(line.startswith('1 file skipped') and 'skipped.csv' in line for line in data.lines)


def test_a_missing_folder_is_named(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        prepare(tiny(clips=tmp_path / 'nowhere'))


def test_a_copy_on_the_other_side_is_reported(tiny, write_unlike, tmp_path):
    for k in range(10):
        write_unlike(tmp_path / 'clips' / f'{k}.gif', 0)  # all are equal
    data, _ = prepare(tiny(clips=tmp_path / 'clips'))
    (line,) = check_data(data, tmp_path / 'check.html')
    assert 'errors' in line and (tmp_path / 'check.html').is_file()
