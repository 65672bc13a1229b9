import subprocess
import sys

import pytest
from PIL import Image
from tool_module import load_tool

from uscl.data.annotations import read_annotations
from uscl.data.video_folder import VideoFolder


@pytest.fixture(scope='module')
def main(root):
    return load_tool('tools/dataset_converters/videos_to_clusters.py').main


@pytest.fixture
def source(tmp_path):
    """Two classes of GIFs of ten frames a second."""
    for name in ('covid/x.gif', 'regular/y.gif'):
        path = tmp_path / 'src' / name
        path.parent.mkdir(parents=True)
        images = [Image.new('L', (60, 40), 20 * i) for i in range(10)]
        images[0].save(path, save_all=True, append_images=images[1:], duration=100)
    return tmp_path / 'src'


def test_options_reach_the_result(main, source, tmp_path, capsys):
    command = [str(source), '--out', str(tmp_path / 'out'), '--fps', '5', '--size', '20', '--color', 'color']
    command += ['--min-frames', '4', '--workers', '1']
    assert main([*command, '--classes', 'regular', 'covid', 'other']) == 0
    annotations = read_annotations(tmp_path / 'out/annotations.json')
    assert annotations['metainfo']['classes'] == ['regular', 'covid', 'other']
    settings = annotations['metainfo']['settings']
    chosen = [settings[key] for key in ('fps', 'min_frames', 'size', 'color')]
    assert chosen == [5.0, 4, 20, 'color']
    images = VideoFolder(tmp_path / 'out')[0]['frames']
    assert [round(image.mean() / 20) for image in images] == [0, 2, 4, 6, 8]
    assert images[0].shape == (20, 30, 3)
    assert 'covid' in capsys.readouterr().out


def test_defaults(main, source, tmp_path, capsys):
    assert main([str(source), '--out', str(tmp_path / 'out')]) == 0
    annotations = read_annotations(tmp_path / 'out/annotations.json')
    assert annotations['metainfo']['classes'] == ['covid', 'regular']
    assert [entry['num_frames'] for entry in annotations['data_list']] == [8, 8]
    assert VideoFolder(tmp_path / 'out')[0]['frames'].shape == (8, 40, 60)
    assert not (tmp_path / 'out/frames').exists()
    captured = capsys.readouterr()
    assert '2/2' in captured.err and '2/2' not in captured.out  # the progress bar


def test_labels_of_a_table_take_the_place_of_the_folders(main, source, tmp_path, capsys):
    (tmp_path / 'readers.csv').write_text('clip,B-lines\nx,yes\ny, no\n')
    command = [str(source), '--out', str(tmp_path / 'out'), '--labels', str(tmp_path / 'readers.csv')]
    assert main([*command, '--label-column', 'b-lines', '--classes', 'yes', 'no']) == 0
    annotations = read_annotations(tmp_path / 'out/annotations.json')
    assert annotations['metainfo']['classes'] == ['yes', 'no']
    assert {entry['video_id']: entry['label'] for entry in annotations['data_list']} == {
        'covid/x.gif': 'yes',
        'regular/y.gif': 'no',
    }
    with pytest.raises(SystemExit):
        main(command)
    assert '--label-column' in capsys.readouterr().err


def test_index_option(main, source, tmp_path):
    (tmp_path / 'list.csv').write_text('path,label,patient_id,split\nregular/y.gif,a,p,val\ngone.mp4,a,p,val\n')
    assert main([str(source), '--out', str(tmp_path / 'out'), '--index', str(tmp_path / 'list.csv')]) == 0
    (entry,) = read_annotations(tmp_path / 'out/annotations.json')['data_list']
    assert (entry['label'], entry['patient_id'], entry['split']) == ('a', 'p', 'val')
    assert 'gone.mp4,"missing:' in (tmp_path / 'out/skipped.csv').read_text()


def test_val_fraction_keeps_patients_together(main, source, tmp_path, capsys):
    index = str(tmp_path / 'list.csv')
    command = [str(source), '--out', str(tmp_path / 'out'), '--index', index, '--val-fraction', '0.5']
    (tmp_path / 'list.csv').write_text('path,label,patient_id\ncovid/x.gif,a,p\nregular/y.gif,a,q\n')
    assert main(command) == 0
    splits = [entry['split'] for entry in read_annotations(tmp_path / 'out/annotations.json')['data_list']]
    assert sorted(splits) == ['train', 'val']
    (tmp_path / 'list.csv').write_text('path,label,patient_id\ncovid/x.gif,a,p\nregular/y.gif,a,p\n')
    assert main(command) == 0  # one patient cannot be divided
    assert {entry['split'] for entry in read_annotations(tmp_path / 'out/annotations.json')['data_list']} == {'train'}
    (tmp_path / 'list.csv').write_text('path,label,patient_id,split\ncovid/x.gif,a,p,train\n')
    assert main(command) == 2
    assert 'error: the index already has a split column' in capsys.readouterr().err


def test_out_inside_the_source_is_not_converted_again(main, source, tmp_path):
    for _ in range(2):
        assert main([str(source), '--out', str(source / 'out')]) == 0
        assert len(read_annotations(source / 'out/annotations.json')['data_list']) == 2


@pytest.mark.parametrize(
    ('arguments', 'code', 'message'),
    [
        (['absent', '--out', 'out'], 2, 'source absent does not exist'),
        (['src', '--out', 'src'], 2, '--out src is the source itself'),
        (['src', '--out', 'out', '--index', 'absent.csv'], 2, 'index absent.csv does not exist'),
        (['src', '--out', 'out', '--classes', 'covid'], 2, "folder 'regular'"),
        (['empty', '--out', 'out'], 1, 'error: empty holds no clip'),
    ],
)
def test_wrong_requests_give_one_line(main, source, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith('error: ') and message in error and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'option',
    [['--fps', '0'], ['--fps', 'inf'], ['--size', '0'], ['--workers', '0'], ['--min-frames', '0'], ['--color', 'x']],
)
def test_values_out_of_range(main, source, tmp_path, option):
    with pytest.raises(SystemExit) as caught:
        main([str(source), '--out', str(tmp_path / 'out'), *option])
    assert caught.value.code == 2


def test_demo_clips_convert(main, root, tmp_path):
    assert main([str(root / 'demo'), '--out', str(tmp_path), '--size', '64']) == 0
    annotations = read_annotations(tmp_path / 'annotations.json')
    assert annotations['metainfo']['classes'] == ['covid', 'pneumonia', 'regular']
    entries = annotations['data_list']
    assert len(entries) == len(list((root / 'demo/clips').iterdir())) == 15
    assert sum(entry['num_frames'] for entry in entries) == 432
    assert {entry['patient_id'] for entry in entries} == {'pocus_4', 'pocus_10', 'pocus_117', 'pocus_119'}
    assert not (tmp_path / 'skipped.csv').exists()


def test_every_demo_clip_is_attributed(root):
    lines = (root / 'demo/ATTRIBUTION.md').read_text().splitlines()
    for clip in (root / 'demo/clips').iterdir():
        (row,) = [line for line in lines if f'`{clip.name}`' in line]
        assert 'https://creativecommons.org/licenses/by/' in row


@pytest.mark.slow
def test_runs_as_a_script_from_any_folder(root, source, tmp_path):
    script = root / 'tools/dataset_converters/videos_to_clusters.py'
    command = [sys.executable, str(script), str(source), '--out', 'out']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '2 converted now' in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'clips', 'frames', 'patients'), [('pocus', 47, 840, 29), ('covid_blues', 252, 2829, 44)]
)
def test_real_collections(main, real_data, tmp_path, name, clips, frames, patients):
    assert main([str(real_data / name), '--out', str(tmp_path), '--size', '32']) == 0
    entries = read_annotations(tmp_path / 'annotations.json')['data_list']
    assert len(entries) == clips
    assert sum(entry['num_frames'] for entry in entries) == frames
    assert len({entry['patient_id'] for entry in entries}) == patients
