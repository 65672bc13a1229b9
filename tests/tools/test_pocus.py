import csv
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tool_module import load_tool

from uscl.data.annotations import read_annotations
from uscl.data.frame_store import read_index
from uscl.data.video_folder import VideoFolder

COLUMNS = ['Current location', 'Filename', 'Label', 'InThisRepo', 'Type', 'Probe', 'Patient ID / Name']


@pytest.fixture(scope='module')
def main(root):
    return load_tool('tools/dataset_converters/pocus.py').main


@pytest.fixture
def clone(tmp_path):
    """Clips of four classes and both probes, ten frames of one second each; the table promises one more."""
    labels = {'Cov': 'COVID-19', 'Pneu': 'Bacterial pneumonia', 'Reg': 'regular', 'Vir': 'Viral pneumonia'}
    rows = []
    for name in ('convex/Cov_a', 'convex/Cov_b', 'convex/Pneu_a', 'linear/Reg_a', 'convex/Vir_a', 'convex/Reg_gone'):
        probe, stem = name.split('/')
        prefix = stem.split('_')[0]
        rows.append([f'data/pocus_videos/{probe}', stem, labels[prefix], 'Yes', 'video', probe, str(len(rows))])
        if stem != 'Reg_gone':
            path = tmp_path / f'clone/data/pocus_videos/{name}.gif'
            path.parent.mkdir(parents=True, exist_ok=True)
            images = [Image.new('L', (60, 40), 20 * i) for i in range(10)]
            images[0].save(path, save_all=True, append_images=images[1:], duration=100)
    with (tmp_path / 'clone/data/dataset_metadata.csv').open('w', newline='') as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return tmp_path / 'clone'


def test_a_published_split(main, clone, tmp_path, capsys):
    (tmp_path / 'train.txt').write_text('Cov_a.gif\nPneu_a.gif\n')
    (tmp_path / 'test.txt').write_text('Reg_a.gif\n')
    command = [str(clone), '--out', str(tmp_path / 'out'), '--workers', '1']
    command += ['--split-file', f'train={tmp_path}/train.txt', f'test={tmp_path}/test.txt']
    assert main(command) == 0
    splits = {
        e['video_id'][-9:]: e['split'] for e in read_annotations(tmp_path / 'out' / 'annotations.json')['data_list']
    }
    assert splits == {'Cov_a.gif': 'train', 'neu_a.gif': 'train', 'Reg_a.gif': 'test'}
    assert 'Cov_b.gif: it is in no split file' in capsys.readouterr().out
    assert main([*command, '--val-fraction', '0.2']) != 0
    assert '--split-file and --val-fraction both divide the clips' in capsys.readouterr().err


@pytest.fixture
def folds(tmp_path):
    (tmp_path / 'folds').mkdir()
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    for number in range(1, 6):
        content = (images[1:], [0, 1, 2, 0, 1], images[:1], [2])
        (tmp_path / f'folds/covid_data{number}.pkl').write_bytes(pickle.dumps(content, number % 4 + 2))
    return tmp_path / 'folds'


def read(out: Path) -> tuple[dict, list[tuple]]:
    annotations = read_annotations(out / 'annotations.json')
    entries = annotations['data_list']
    return annotations['metainfo'], [(e['video_id'], e['label'], e['patient_id'], e['num_frames']) for e in entries]


def test_clone(main, clone, tmp_path, capsys):
    assert main([str(clone), '--out', str(tmp_path / 'out'), '--workers', '1']) == 0
    meta, entries = read(tmp_path / 'out')
    assert meta['classes'] == ['covid', 'pneumonia', 'regular']
    settings = meta['settings']
    assert (settings['fps'], settings['probe'], settings['viral']) == (3.0, 'all', 'skip')
    assert entries == [
        ('pocus_videos/convex/Cov_a.gif', 'covid', 'pocus_0', 8),
        ('pocus_videos/convex/Cov_b.gif', 'covid', 'pocus_1', 8),
        ('pocus_videos/convex/Pneu_a.gif', 'pneumonia', 'pocus_2', 8),
        ('pocus_videos/linear/Reg_a.gif', 'regular', 'pocus_3', 8),
    ]
    printed = capsys.readouterr().out
    assert 'skipped pocus_videos/convex/Vir_a.gif: viral pneumonia' in printed
    assert 'according to dataset_metadata.csv: Reg_gone\n' in printed
    assert main([str(clone / 'data'), '--out', str(tmp_path / 'out')]) == 0
    assert '0 converted now, 4 complete already' in capsys.readouterr().out


def test_options_reach_the_result(main, clone, tmp_path):
    command = [str(clone), '--out', str(tmp_path), '--probe', 'convex', '--viral', 'pneumonia', '--fps', '5']
    command += ['--min-frames', '4', '--workers', '1']
    assert main([*command, '--size', '20', '--color', 'color', '--val-fraction', '0.5']) == 0
    meta, entries = read(tmp_path)
    settings = {
        'fps': 5.0,
        'size': 20,
        'color': 'color',
        'mask_tolerance': None,
        'min_frames': 4,
        'third_axis_time': False,
    }
    assert meta['settings'] == settings | {'probe': 'convex', 'viral': 'pneumonia'}
    assert [(Path(entry[0]).stem, entry[1], entry[3]) for entry in entries] == [
        ('Cov_a', 'covid', 5),
        ('Cov_b', 'covid', 5),
        ('Pneu_a', 'pneumonia', 5),
        ('Vir_a', 'pneumonia', 5),
    ]
    data_list = read_annotations(tmp_path / 'annotations.json')['data_list']
    assert sorted(entry['split'] for entry in data_list) == ['train', 'train', 'val', 'val']
    assert VideoFolder(tmp_path)[0]['frames'].shape == (5, 20, 30, 3)


def test_folds(main, folds, tmp_path, capsys):
    assert main([str(folds), '--out', str(tmp_path / 'out'), '--color', 'gray', '--size', '4']) == 0
    meta, entries = read(tmp_path / 'out')
    assert (meta['grouping'], meta['settings']['size'], len(entries)) == ('unknown', 4, 6)
    assert meta['folds'][4] == {
        'train': [f'fold1/train/{i:06d}' for i in range(5)],
        'test': ['fold1/test/000000'],
    }
    assert {stored.shapes for stored in read_index(tmp_path / 'out').videos.values()} == {((1, 4, 4),)}
    assert 'Patients are unknown' in capsys.readouterr().out


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return eval, (f'open({str(self.mark)!r}, "w")',)


@pytest.mark.parametrize(
    ('change', 'options', 'code', 'message'),
    [
        ('hostile', [], 1, 'builtins.eval'),
        ('missing', [], 2, 'lacks covid_data3.pkl'),
        ('none', ['--val-fraction', '0.2', '--probe', 'convex'], 2, '--probe, --val-fraction is for clips'),
        ('none', ['--fps', '5'], 2, '--fps is for clips'),
        ('out', [], 2, 'is the source itself'),
        ('gone', [], 2, 'does not exist'),
    ],
)
def test_wrong_requests_give_one_line(main, folds, tmp_path, capsys, change, options, code, message):
    source, out = folds, tmp_path / 'out'
    if change == 'hostile':
        (folds / 'covid_data3.pkl').write_bytes(pickle.dumps([np.zeros(3), Hostile(tmp_path / 'was-run')]))
    elif change == 'missing':
        (folds / 'covid_data3.pkl').unlink()
    elif change == 'out':
        out = folds
    elif change == 'gone':
        source = tmp_path / 'gone'
    assert main([str(source), '--out', str(out), *options]) == code
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith('error: ') and message in error
    assert not (tmp_path / 'was-run').exists()


@pytest.mark.skipif(sys.platform == 'win32', reason='needs symbolic links')
@pytest.mark.parametrize('option', [['--probe', 'sector'], ['--viral', 'covid'], ['--val-fraction', '1']])
def test_values_out_of_range(main, clone, tmp_path, option):
    with pytest.raises(SystemExit) as caught:
        main([str(clone), '--out', str(tmp_path / 'out'), *option])
    assert caught.value.code == 2
