import json

import cv2
import pytest
from released_clone import write_clone
from tool_module import load_tool

from instruments.throughput import FIGURES
from instruments.throughput_report import named_configs

NARROW = (
    '--cfg-options model.backbone.stem_channels=16 model.backbone.base_channels=16 model.neck.in_channels=128 '
    'model.neck.hid_channels=64 model.head.in_channels=128'
)


@pytest.fixture(scope='module')
def tool(root):
    return load_tool('tools/benchmarks/throughput.py')


@pytest.mark.filterwarnings('ignore:Only use:UserWarning')
def test_two_configs_beside_the_released_code(tool, root, tmp_path, capsys):
    clone, out, picture = write_clone(tmp_path / 'USCL'), tmp_path / 'a.json', tmp_path / 'a.png'
    configs = root / 'configs' / 'uscl'
    command = (
        f'--config plain={configs}/uscl_resnet18_1xb32-300e_us4-224px.py {configs}/uscl_resnet18_demo.py '
        f'--released {clone} --size 32 --batch-size 3 --workers 0 --videos 4 --frames 3 --frame-size 40 --repeats 3 '
        f'--batches 2 --seconds 0.001 --json {out} --out {picture} {NARROW}'
    )
    assert tool.main(command.split()) == 0
    printed = capsys.readouterr().out
    assert 'end to end / network' in printed
    assert 'labels: all 0' in printed
    assert cv2.imread(str(picture)).shape[1] > 600

    result = json.loads(out.read_text())
    assert {'device', 'torch', 'threads', 'command'} <= set(result)
    assert (result['size'], result['batch_size'], result['num_videos']) == (32, 3, 4)
    assert list(result['figures']) == ['plain', 'uscl_resnet18_demo', 'released']
    assert result['workers'] == dict.fromkeys(result['figures'], 0)
    for figures in result['figures'].values():
        for key in FIGURES:
            rates, seconds = (figures[key][what]['values'] for what in ('videos_per_second', 'seconds'))
            assert len(rates) == 3
            for rate, taken in zip(rates, seconds, strict=True):
                assert rate * taken == pytest.approx(3 * figures[key]['batches'])
        assert 0 < figures['end_to_end']['waiting_share']['median'] < 1
    for figures in (result['figures'][name] for name in ('plain', 'uscl_resnet18_demo')):
        assert 0.05 < figures['efficiency']['median'] < 1.3  # noise of short steps
        parts = (1 / figures[key]['videos_per_second']['median'] for key in ('loader_preprocessor', 'network'))
        assert 1 / figures['end_to_end']['videos_per_second']['median'] == pytest.approx(sum(parts), rel=0.5)
    ratio = result['ratios']['plain']['ratio_network']
    by_hand = [
        ours / theirs
        for ours, theirs in zip(
            *(result['figures'][name]['network']['videos_per_second']['values'] for name in ('plain', 'released')),
            strict=True,
        )
    ]
    assert ratio['values'] == pytest.approx(by_hand)
    assert ratio['median'] == pytest.approx(sorted(by_hand)[1])


@pytest.mark.parametrize(
    'arguments, message',
    [
        ('--released NOWHERE', 'NOWHERE is not a clone'),
        ('--data NOWHERE', 'annotations.json'),
        ('--config NOWHERE.py', 'NOWHERE.py'),
        ('--out chart.txt', 'chart.txt should be a file name'),
        ('--config released=a.py', "two workloads are named 'released'"),
        ('--config {configs}/pocus/resnet18_1xb32-linear-100e_pocus-224px.py', "got 'VideoFrameDataset'"),
    ],
)
def test_mistakes_are_one_line(tool, root, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    arguments = arguments.format(configs=root / 'configs')
    clips = '--videos 2 --frames 3 --frame-size 16'
    assert tool.main(f'{clips} {arguments}'.split()) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if 'making' not in line]
    assert len(error) == 1
    assert error[0].startswith('error: ')
    assert message in error[0]


def test_views_of_another_size_than_asked_are_refused(tool, root, capsys):
    command = '--videos 2 --frames 3 --frame-size 40 --size 32 --batch-size 2'
    pipeline = 'train_dataloader.dataset.steps.DrawViews.scale=24'
    device = root / 'configs' / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px_device-aug.py'
    assert tool.main(f'{command} --config {device} --cfg-options {pipeline} {NARROW.split(" ", 1)[1]}'.split()) == 1
    assert 'makes views of (24, 24) px' in capsys.readouterr().err


def test_names_of_configs():
    assert named_configs(['device=a/uscl.py', 'b/uscl.py']) == {'device': 'a/uscl.py', 'uscl': 'b/uscl.py'}
    with pytest.raises(ValueError, match=r"'uscl'.*NAME=CONFIG"):
        named_configs(['a/uscl.py', 'b/uscl.py'])
