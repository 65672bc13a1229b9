"""Checkpoints say what they are made of: the network can be built from them, and their data be recognised."""

import json
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS

from uscl.core.digest import digest
from uscl.data.folder_digest import data_digest
from uscl.data.folder_writer import write_data_folder
from uscl.data.video_folder import VideoFolder
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.provenance import describe_run, kept_provenance


@pytest.fixture
def folder(clusters, tmp_path):
    """The videos of `clusters` with sources: v0 and v1 are one file, v3 is held back, `none/v` came from no file."""
    videos = [dict(video, split='train') for video in VideoFolder(clusters)]
    for video in videos:
        video['sha256'] = None if video['label'] is None else digest(video['video_id'].replace('v1', 'v0')[2:])
        video['split'] = 'val' if video['video_id'] == 'b/v3' else 'train'
    return write_data_folder(tmp_path / 'data', videos, settings={'fps': 3.0, 'size': 48})


def test_a_checkpoint_builds_its_network_and_names_its_data(run_config, folder):
    cfg = run_config(
        1, **{'train_dataloader.dataset.data_root': str(folder), 'train_dataloader.dataset.split': 'train'}
    )
    Runner.from_cfg(cfg).train()
    checkpoint = torch.load(f'{cfg.work_dir}/epoch_1.pth', weights_only=True)
    facts = checkpoint['meta']['uscl']
    state = {name.removeprefix('backbone.'): value for name, value in checkpoint['state_dict'].items()}
    network = MODELS.build(facts['backbone'])
    network.load_state_dict({name: state[name] for name in network.state_dict()}, strict=True)
    assert network.conv1.out_channels == 16
    assert facts['input'] == {'size': 32, 'mean': [127.5] * 3, 'std': [63.75] * 3, 'channels': 'rgb'}
    assert (facts['version'], facts['settings']) == (1, {'fps': 3.0, 'size': 48})
    assert facts['data_digest'] == data_digest(folder)
    sources = {digest(name) for name in ('v0', 'v2', 'two', 'one')}
    assert facts['seen'] == {'sha256s': sorted(sources), 'signatures': None, 'patients': None}


def test_the_digest_is_of_content_alone(folder, tmp_path):
    videos = list(VideoFolder(folder))
    moved = write_data_folder(tmp_path / 'elsewhere', videos, settings={'fps': 3.0, 'size': 48})
    write_data_folder(moved, videos[::-1], settings={'fps': 3.0, 'size': 48})  # and back: other shards
    write_data_folder(moved, videos, settings={'fps': 3.0, 'size': 48})
    assert data_digest(moved) == data_digest(folder)
    videos[2]['frames'] = [255 - frame for frame in videos[2]['frames']]
    assert data_digest(write_data_folder(moved, videos, settings={'fps': 3.0, 'size': 48})) != data_digest(folder)
    videos = list(VideoFolder(folder))
    videos[2]['label'] = 'b'
    assert data_digest(write_data_folder(moved, videos, settings={'fps': 3.0, 'size': 48})) != data_digest(folder)


def test_a_relative_folder_is_the_same(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    made = DATASETS.build(dict(type='VideoClusterDataset', data_root=folder.name))
    assert made.provenance()['data_digest'] == data_digest(folder)


def test_several_folders(folder, clusters):
    one, two = (DATASETS.build(dict(type='VideoClusterDataset', data_root=str(root))) for root in (folder, clusters))
    facts = describe_run(Config({}), ConcatDataset([one, two]))
    assert facts['data_digest'] == digest(*sorted([data_digest(folder), data_digest(clusters)]))
    assert facts['settings'] is None and len(facts['seen']['sha256s']) == 5  # clusters has no settings and no sources
    assert facts['backbone'] is None and facts['input'] == dict.fromkeys(('size', 'mean', 'std', 'channels'))
    assert describe_run(Config({}), [1, 2])['seen']['sha256s'] is None


@pytest.fixture
def stopped(run_config, clusters, tmp_path):
    """A function that resumes a run of one epoch on its data, of which there is a copy in `tmp_path / 'data'`."""
    data = shutil.copytree(clusters, tmp_path / 'data')
    Runner.from_cfg(run_config(1, **{'train_dataloader.dataset.data_root': str(data)})).train()

    def resume(folder=data, **options):
        settings = {'train_dataloader.dataset.data_root': str(folder), 'resume': True, **options}
        runner = Runner.from_cfg(run_config(2, **settings))
        runner.train()
        return runner

    return resume


def swap_labels(content):
    content[0]['label'], content[1]['label'] = content[1]['label'], content[0]['label']


@pytest.mark.parametrize('change', [swap_labels, lambda content: content.pop(2)], ids=['labels', 'a video'])
def test_changed_data_are_not_resumed_on(change, stopped, tmp_path):
    path = tmp_path / 'data' / 'annotations.json'
    content = json.loads(path.read_text())
    change(content['data_list'])
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=rf'{tmp_path}/data has changed since {tmp_path}/run/epoch_1.pth'):
        stopped()
    runner = stopped(**{'default_hooks.provenance.data_changed': True})
    assert runner.epoch == 2
    log = ''.join(file.read_text() for file in tmp_path.rglob('*.log'))
    assert f'{tmp_path}/data has changed since' in log and 'goes on' in log
    saved = load_plain_checkpoint(tmp_path / 'run' / 'epoch_2.pth')['meta']['uscl']
    assert saved['data_digest'] == data_digest(tmp_path / 'data')


def test_moved_data_are_resumed_on(stopped, tmp_path):
    (tmp_path / 'data').rename(tmp_path / 'moved')
    assert stopped(tmp_path / 'moved').epoch == 2


@pytest.mark.parametrize('meta', [{}, {'uscl': None}, {'uscl': '{cut'}, {'uscl': '[1]'}, {'uscl': 3}])
def test_without_it_nothing_is_kept(meta):
    assert kept_provenance(meta) == {}
