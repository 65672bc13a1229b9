import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from check_data import alike, texture, write_data
from tool_module import load_tool

from uscl.data.folder_writer import write_data_folder
from uscl.data.video_folder import VideoFolder

tool = load_tool('tools/analysis/check_dataset.py')


@pytest.fixture
def data(make_clusters, tmp_path):
    """Six videos of three patients, nothing wrong with them."""
    return make_clusters(tmp_path / 'data', {f'v{k}': (4, 'ab'[k % 2], f'p{k // 2}') for k in range(6)})


def test_clean_data_are_exit_status_0(data, capsys):
    assert tool.main([str(data)]) == 0
    assert '0 errors, 0 warnings' in (out := capsys.readouterr().out) or 'Nothing found.' in out


def test_leak_is_1_on_screen_in_json_and_on_the_page(data, tmp_path, capsys):
    folder = VideoFolder(data)
    videos = [folder[k] for k in range(len(folder))]
    for video in videos:
        video['split'] = 'test' if video['patient_id'] == 'p2' else 'train'
    copy = dict(video_id='<copy>', patient_id='p1', label='a', split='test', frames=videos[0]['frames'])
    write_data_folder(data, [*videos, copy])
    page, facts = tmp_path / 'out' / 'check.html', tmp_path / 'out' / 'check.json'
    assert tool.main([str(data), '--html', str(page), '--json', str(facts)]) == 1
    out = capsys.readouterr().out
    assert 'v0 (patient p0) and <copy> (patient p1): equal frames, in train and in test' in out
    assert "patient 'p1': in train and in test of the split column (train: v2, v3; test: <copy>)" in out
    found = json.loads(facts.read_text())
    assert found['counts']['error'] == 2
    assert found['findings'][0]['clips'] == [{'data': str(data), 'video_id': name} for name in ('v0', '<copy>')]
    html = page.read_text()
    assert html.count('<figure>') == 2 and '&lt;copy&gt;' in html and '<copy>' not in html


def test_suspects_are_0_and_1_if_strict(tmp_path, capsys):
    clips = {'v1': (texture(1, 4), 'a', 'p1'), 'other': (alike(1, 4), 'a', 'p2')}
    data, page = str(write_data(tmp_path / 'data', clips)), tmp_path / 'check.html'
    assert tool.main([data, '--html', str(page)]) == 0
    assert '0 errors, 1 warning' in capsys.readouterr().out
    assert 'role="alert"' not in page.read_text() and page.read_text().count('<figure>') == 2
    assert tool.main([data, '--strict']) == 1
    assert tool.main([data, '--strict', '--threshold', '0.92']) == 0


def test_warnings_are_1_only_if_strict(make_clusters, tmp_path):
    data = make_clusters(tmp_path / 'data', {'v0': (2, 'a', 'p0'), 'v1': (4, 'a', 'p1')})
    assert tool.main([str(data)]) == 0
    assert tool.main([str(data), '--strict']) == 1


@pytest.mark.parametrize(
    ('arguments', 'says'),
    [
        (['{none}'], 'none/annotations.json'),
        (['{data}', '{data}/.'], '{data} is given twice'),
        (['{data}', '--folds', '{none}.json'], 'none.json'),
        (['{data}', '--folds', '{other}'], "fold 0 of {other} lists the video 'v77'"),
        (['{empty}'], 'annotations.json lists no videos'),
        (['{gone}'], '.safetensors'),
        (['{broken}'], "video 'v1': {broken}/store/"),
    ],
)
def test_what_cannot_run_is_2_and_says_why(arguments, says, data, make_clusters, tmp_path, capsys):
    paths = {name: tmp_path / name for name in ('data', 'none', 'empty', 'gone', 'broken')}
    paths['other'] = tmp_path / 'other.json'
    fold = {'train': ['v0'], 'val': [], 'test': ['v77']}
    paths['other'].write_text(json.dumps({'kind': 'uscl_folds', 'folds': [fold]}))
    write_data_folder(paths['empty'], [])
    for name in ('gone', 'broken'):
        make_clusters(paths[name], {'v1': (3, 'a')})
    shards = {name: next((paths[name] / 'store').glob('*.safetensors')) for name in ('gone', 'broken')}
    shards['gone'].unlink()
    shards['broken'].write_bytes(shards['broken'].read_bytes()[:-1] + b'\0')
    assert tool.main([argument.format(**paths) for argument in arguments]) == 2
    assert says.format(**paths) in capsys.readouterr().err


@pytest.mark.slow
def test_planted_copy_of_a_real_clip_is_the_only_leak(real_data, tmp_path, capsys):
    """Ten clips of one scanner, converted, and one of them again at another frame rate and size."""
    for number, source in enumerate(sorted((real_data / 'covid_blues' / 'lus_videos').glob('patient_*_R1.mp4'))[:10]):
        folder = tmp_path / 'clips' / 'a'
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder)
        if number == 4:
            shutil.copytree(folder, tmp_path / 'one' / 'a')
            for other in sorted((tmp_path / 'one' / 'a').iterdir())[:-1]:
                other.unlink()
    converter = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'videos_to_clusters.py'
    for name, options in (('clips', []), ('one', ['--fps', '2', '--size', '160'])):
        command = [sys.executable, converter, tmp_path / name, '--out', tmp_path / f'{name}_data', *options]
        subprocess.run(command, check=True, capture_output=True)
    file = tmp_path / 'one_data' / 'annotations.json'
    content = json.loads(file.read_text())
    content['data_list'][0]['sha256'] = None  # it would give it away
    file.write_text(json.dumps(content))
    copied = next((tmp_path / 'one' / 'a').iterdir()).name
    assert tool.main([str(tmp_path / 'clips_data'), str(tmp_path / 'one_data')]) == 1
    out = capsys.readouterr().out
    assert out.count('the same pictures') == 1 and out.count(f'a/{copied} (patient') == 2
