import random
import sys

import cv2
import numpy as np
import pytest
import torch
from released_clone import write_clone

from instruments.released_code import import_released
from instruments.released_workload import ReleasedWorkload, write_jpeg_folders
from instruments.throughput import measure_throughput
from uscl.data.annotations import read_annotations
from uscl.data.synthetic_videos import write_synthetic_videos
from uscl.data.video_folder import VideoFolder


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    return write_synthetic_videos(tmp_path_factory.mktemp('clips'), videos=4, frames=3, size=40)


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    return write_clone(tmp_path_factory.mktemp('clone'))


def test_import_leaves_no_trace(clone, monkeypatch):
    monkeypatch.setitem(sys.modules, 'models', mine := object())
    before, path = set(sys.modules), sys.path[:]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    code = import_released(clone)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn
    assert code.simclr.__file__ == str(clone / 'train_USCL' / 'simclr.py')
    assert sys.modules['models'] is mine
    assert sys.path == path
    assert not {name for name in set(sys.modules) - before if name.split('.')[0] in ('simclr', 'data_aug', 'loss')}


@pytest.mark.parametrize('gone', ['train_USCL', 'train_USCL/loss/nt_xent.py'])
def test_other_folders_are_refused_with_the_remedy(clone, tmp_path, gone):
    folder = tmp_path if gone == 'train_USCL' else write_clone(tmp_path)
    (folder / gone).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r'train_USCL/.*git clone https://github.com'):
        import_released(folder)


def test_what_it_imports_is_named_where_it_is_missing(tmp_path):
    folder = write_clone(tmp_path)
    file = folder / 'train_USCL' / 'simclr.py'
    file.write_text('import a_library_of_2019\n' + file.read_text())
    with pytest.raises(ValueError, match='a_library_of_2019'):
        import_released(folder)


def test_frames_are_those_of_ours(clips, tmp_path):
    entries = read_annotations(clips / 'annotations.json')['data_list']
    chosen = [entries[0], entries[3]]
    stored = {video['video_id']: video['frames'] for video in VideoFolder(clips)}
    out = write_jpeg_folders(clips, [entry['video_id'] for entry in chosen], tmp_path / 'out')
    folders = sorted(out.iterdir())
    assert len(folders) == 2
    for folder, entry in zip(folders, chosen, strict=True):
        for file, ours in zip(sorted(folder.iterdir()), stored[entry['video_id']], strict=True):
            theirs = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            assert theirs.shape == ours.shape
            assert np.abs(theirs.astype(int) - ours).mean() < 4  # JPEG loses a little


@pytest.mark.parametrize('workers', [0, 1])
def test_the_authors_loop_runs_on_full_batches(clone, clips, tmp_path, workers, capsys):
    code = import_released(clone)
    ids = [entry['video_id'] for entry in read_annotations(clips / 'annotations.json')['data_list']]
    frames = write_jpeg_folders(clips, ids, tmp_path / 'frames')
    workload = ReleasedWorkload(code, frames, 24, 3, torch.device('cpu'), workers)
    save = code.simclr._save_config_file
    result = measure_throughput([workload], repeats=2, min_batches=2, min_seconds=1e-4)['released']
    assert capsys.readouterr().out == ''
    assert code.simclr._save_config_file is save
    # Of network and end to end: two warm-ups of a batch and two repeats of two, each after one that is not timed.
    assert len(code.simclr.seen) == 2 * (2 * 2 + 2 * 3) == 2 * (result.batches['network'] * 2 + 6)
    assert set(map(str, code.simclr.seen)) == {str(((3, 3, 24, 24), (3, 3, 24, 24), [0, 0, 0]))}
    assert workload.precision == 'float32'


def test_workers_are_those_of_its_config(clone, clips, tmp_path):
    frames = write_jpeg_folders(clips, ['speckle_a/clip_0000'], tmp_path / 'frames')
    assert ReleasedWorkload(import_released(clone), frames, 24, 3, torch.device('cpu')).workers == 4
