import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tool_module import load_tool


@pytest.fixture(scope='module')
def main(root):
    return load_tool('tools/dataset_converters/lesions_to_coco.py').main


@pytest.fixture
def udiat(tmp_path):
    """Six images of dataset B, four benign and two malignant, each with a lesion of 8 x 10 pixels and a small one."""
    mask = np.zeros((30, 40), np.uint8)
    mask[4:12, 5:15] = 255
    mask[20:23, 20:25] = 255
    for folder in ('original', 'GT'):
        (tmp_path / 'src' / folder).mkdir(parents=True)
    for number in range(1, 7):
        Image.fromarray(np.full((30, 40), 20 * number, np.uint8)).save(tmp_path / f'src/original/{number:06d}.png')
        Image.fromarray(mask).save(tmp_path / f'src/GT/{number:06d}.png')
    (tmp_path / 'src/Benign.txt').write_text('000001.png\n000002.png\n000003.png\n000004.png\n')
    (tmp_path / 'src/Malignant.txt').write_text('000005.png\n000006.png\n')
    return tmp_path / 'src'


def read(path):
    return json.loads(path.read_text(encoding='utf-8'))


def test_options_reach_the_result(main, udiat, tmp_path, capsys):
    out = tmp_path / 'out'
    command = ['udiat_b', str(udiat), '--out', str(out), '--classes', '2', '--min-area', '15', '--val', '3']
    assert main([*command, '--seed', '4', '--no-overview']) == 0
    val, train = read(out / 'annotations/val.json'), read(out / 'annotations/train.json')
    assert [c['name'] for c in val['categories']] == ['benign', 'malignant']
    assert val['info']['counts'] == dict(images=3, negatives=0, patients=None, lesions=dict(benign=4, malignant=2))
    assert {a['area'] for a in train['annotations']} == {80, 15}
    assert train['info']['settings']['seed'] == 4 and not list(out.glob('*.jpg'))
    printed = capsys.readouterr().out
    assert 'negatives' in printed and 'single images (no patient is known)' in printed


def test_defaults(main, udiat, tmp_path, capsys):
    assert main(['udiat_b', str(udiat), '--out', str(tmp_path / 'out')]) == 0
    train = read(tmp_path / 'out/annotations/train.json')
    assert [c['name'] for c in train['categories']] == ['lesion']
    assert [a['bbox'] for a in train['annotations']] == [[5, 4, 10, 8]] * 6
    assert not (tmp_path / 'out/annotations/val.json').exists() and (tmp_path / 'out/overview.jpg').is_file()
    captured = capsys.readouterr()
    assert 'Reading masks' in captured.err and 'Reading masks' not in captured.out


def test_folds(main, udiat, tmp_path):
    assert main(['udiat_b', str(udiat), '--out', str(tmp_path / 'out'), '--folds', '2']) == 0
    labels = [[i['label'] for i in read(tmp_path / f'out/annotations/fold_{k}_val.json')['images']] for k in (0, 1)]
    assert [sorted(part) for part in labels] == [['benign', 'benign', 'malignant']] * 2


@pytest.mark.parametrize(
    ('arguments', 'code', 'message'),
    [
        (['udiat_b', 'absent', '--out', 'out'], 2, 'source absent does not exist'),
        (['udiat_b', 'src', '--out', 'src'], 2, '--out src is the source itself'),
        (['busi', 'src', '--out', 'out'], 2, 'found Benign.txt, GT/, Malignant.txt, original/'),
        (['pairs', 'src', '--out', 'out', '--classes', '2'], 2, 'use --classes 1'),
        (['udiat_b', 'src', '--out', 'out', '--val', '6'], 2, '6 of 6 images'),
        (['udiat_b', 'src', '--out', 'src/Benign.txt/out'], 2, 'give another --out'),
    ],
)
def test_wrong_requests_give_one_line(main, udiat, tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / 'out/annotations').exists()


@pytest.mark.parametrize(
    'options',
    [['--val', '0'], ['--folds', '1'], ['--min-area', '0'], ['--classes', '3'], ['--val', '2', '--folds', '2']],
)
def test_values_out_of_range(main, udiat, tmp_path, options):
    with pytest.raises(SystemExit) as caught:
        main(['udiat_b', str(udiat), '--out', str(tmp_path / 'out'), *options])
    assert caught.value.code == 2


@pytest.mark.slow
def test_runs_as_a_script_from_any_folder(root, udiat, tmp_path):
    script = root / 'tools/dataset_converters/lesions_to_coco.py'
    command = [sys.executable, str(script), 'udiat_b', str(udiat), '--out', 'out', '--val', '2']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read(tmp_path / 'out/annotations/val.json')['images']) == 2
