"""Others beside ours: each in its own process, in turn, on the same frames."""

import json
import stat
import sys
from dataclasses import asdict

import pytest
import torch
from tool_module import load_tool

from instruments.peer_process import PeerProcess
from instruments.peer_workloads import PeerSettings, build_peer, peer_versions
from instruments.released_workload import write_jpeg_folders
from instruments.throughput import time_training
from uscl.data.synthetic_videos import write_synthetic_videos
from uscl.data.video_folder import VideoFolder

# An interpreter that answers like a peer whose batches take the seconds in its name; NAME.log keeps what it was told.
STAND_IN = """#!{python} -I
import pathlib, sys
own = pathlib.Path(sys.argv[0])
print('{{"torch": "1.0"}}', flush=True)
for line in sys.stdin:
    key, count = line.split()
    with (own.parent / 'turns').open('a') as turns:
        turns.write(own.name + ' ' + line)
    if key == 'network' and own.name == '9':
        sys.exit('no more memory')
    print(float(own.name) * int(count), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path):
    def write(seconds):
        path = tmp_path / str(seconds)
        path.write_text(STAND_IN.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    return write_synthetic_videos(tmp_path_factory.mktemp('clips'), videos=4, frames=3, size=40)


@pytest.fixture(scope='module')
def settings(clips, tmp_path_factory):
    videos = [entry['video_id'] for entry in VideoFolder(clips).entries]
    frames = write_jpeg_folders(clips, videos, tmp_path_factory.mktemp('frames') / 'all')
    return PeerSettings(data=str(clips), frames=str(frames), size=32, batch_size=3, workers=0, config='')


def test_peers_take_turns_and_the_first_is_compared(clips, stand_in, tmp_path, capsys):
    tool, out = load_tool('tools/benchmarks/peers.py'), tmp_path / 'peers.json'
    command = f'--data {clips} --peers ours lightly --python ours={stand_in(2)} lightly={stand_in(5)} --json {out} '
    assert tool.main((command + '--batch-size 4 --batches 10 --rounds 3 --starts 2').split()) == 0
    turns = [line.split()[0] for line in (tmp_path / 'turns').read_text().splitlines()]
    assert turns == list('25522525')  # the last pass is for memory
    found = json.loads(out.read_text())['peers']
    assert found['ours']['pairs_per_second']['end_to_end']['values'] == [4 / 2] * 3
    assert found['lightly']['pairs_per_second']['end_to_end']['median'] == 4 / 5
    assert found['lightly']['ratio']['end_to_end']['median'] == 2.5
    assert len(found['ours']['first_step_seconds']['values']) == 2
    assert found['ours']['versions'] == {'torch': '1.0'}
    row = next(line for line in capsys.readouterr().out.splitlines() if 'lightly' in line)
    assert '0.800 (0.800 to 0.800)' in row and '2.50 (2.50 to 2.50)' in row


def test_no_round_begins_after_its_time(clips, stand_in, tmp_path):
    tool, out = load_tool('tools/benchmarks/peers.py'), tmp_path / 'peers.json'
    command = f'--data {clips} --peers ours --python ours={stand_in(2)} --json {out} --rounds 3 --starts 1'
    assert tool.main([*command.split(), '--minutes', '1e-6']) == 0
    assert len(json.loads(out.read_text())['peers']['ours']['pairs_per_second']['end_to_end']['values']) == 1


def test_a_peer_that_ends_is_named_with_its_last_line(stand_in, tmp_path):
    peer = PeerProcess('lightly', {}, tmp_path / 'log', str(stand_in(9)))
    assert peer.seconds('end_to_end', 2) == 18
    with pytest.raises(ValueError, match='lightly ended: no more memory'):
        peer.seconds('network', 2)
    peer.close()


def test_the_released_code_needs_its_clone(capsys):
    assert load_tool('tools/benchmarks/peers.py').main(['--peers', 'released']) == 1
    assert '--released' in capsys.readouterr().err


@pytest.mark.filterwarnings('ignore::UserWarning')
@pytest.mark.parametrize('name', ['lightly', 'mmpretrain'])
def test_two_views_of_each_image_train_a_resnet18(name, settings):
    workload = build_peer(name, settings)
    found = workload.prepare(next(iter(workload.batches(1, one_core=True))))
    first, second = found['inputs'] if isinstance(found, dict) else found[0]
    assert first.shape == second.shape == (3, 3, 32, 32)
    assert not torch.equal(first, second)
    weights = {key: value.clone() for key, value in workload._model.state_dict().items()}
    assert 11.1e6 < sum(value.numel() for value in weights.values()) < 12e6
    timed = time_training(workload, 2)
    assert timed.seconds > timed.waited > 0
    moved = [key for key, value in workload._model.state_dict().items() if not torch.equal(value, weights[key])]
    assert len(moved) > 60
    assert peer_versions(name).keys() >= {'torch', 'torchvision'}


def test_ours_is_the_config_given(settings, root):
    config = root / 'configs' / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px_device-aug.py'
    workload = build_peer('ours', PeerSettings(**asdict(settings) | {'config': str(config)}))
    assert (workload.view_size, workload.batch_size, workload.makes_views) == ((32, 32), 3, True)
