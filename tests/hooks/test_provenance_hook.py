"""Checkpoints say what they are made of: the network can be built from them, and their data be recognised."""

import base64
import json
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS

from uscl.checks.seen_data import Seen, hash_patient
from uscl.convert.privacy.patient_key import read_patient_key
from uscl.core.digest import digest
from uscl.data.annotations import read_annotations
from uscl.data.folder_digest import data_digest
from uscl.data.folder_writer import write_data_folder
from uscl.data.video_folder import VideoFolder
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import write_checkpoint
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
    entries = [e for e in read_annotations(folder / 'annotations.json')['data_list'] if e['split'] == 'train']
    key = read_patient_key()
    assert facts['seen'] == {
        'sha256s': sorted(sources),
        'signatures': sorted({entry['signature'] for entry in entries}),
        'patients': {key.key_id: sorted(hash_patient(key, f'p{k}') for k in range(3))},
        'complete': True,
    }


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
    assert facts['seen']['complete'] and len(facts['seen']['signatures']) == 7  # the same clips
    assert facts['backbone'] is None and facts['input'] == dict.fromkeys(('size', 'mean', 'std', 'channels'))
    nothing = {'sha256s': None, 'signatures': None, 'patients': None, 'complete': False}
    assert describe_run(Config({}), [1, 2])['seen'] == nothing


EARLIER = base64.b64encode(bytes(range(255))).decode()  # a signature


def seen_file(path, *signatures, complete=True):
    seen = Seen(signatures=frozenset(signatures), is_complete=complete)
    write_checkpoint(path, {'conv1.weight': torch.zeros(1)}, {'uscl': {'seen': seen.as_plain()}})
    return str(path)


@pytest.mark.parametrize('where', ['backbone', 'model'])
def test_what_the_first_weights_have_seen_is_seen(where, folder, tmp_path):
    init = dict(type='Pretrained', checkpoint=seen_file(tmp_path / 'init.pth', EARLIER))
    cfg = Config({'model': {'backbone': {'type': 'ResNet'}}})
    part = cfg.model if where == 'model' else cfg.model.backbone
    part['init_cfg'] = [dict(type='Kaiming'), init]
    dataset = DATASETS.build(dict(type='VideoClusterDataset', data_root=str(folder)))
    own, seen = (describe_run(config, dataset)['seen'] for config in (Config({}), cfg))
    assert seen['signatures'] == sorted([*own['signatures'], EARLIER]) and seen['complete']
    part['init_cfg'] = init | {'checkpoint': 'torchvision://resnet18'}
    assert describe_run(cfg, dataset)['seen'] == own | {'complete': False}
    del part['init_cfg']
    assert describe_run(cfg, dataset)['seen'] == own
    part['pretrained'] = True  # of timm
    assert describe_run(cfg, dataset)['seen'] == own | {'complete': False}


def test_what_a_run_goes_on_from_is_seen(run_config):
    cfg = run_config(1)
    Runner.from_cfg(cfg).train()
    path = f'{cfg.work_dir}/epoch_1.pth'
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['uscl']['seen']['signatures'] = [EARLIER]
    torch.save(checkpoint, path)
    further = run_config(1, name='further', load_from=path)
    Runner.from_cfg(further).train()
    seen = torch.load(f'{further.work_dir}/epoch_1.pth', weights_only=True)['meta']['uscl']['seen']
    assert EARLIER in seen['signatures'] and len(seen['signatures']) == 8


def test_without_a_writable_folder_of_settings_patients_are_unknown(folder, tmp_path, monkeypatch, logged):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'file'))
    seen = describe_run(Config({}), DATASETS.build(dict(type='VideoClusterDataset', data_root=str(folder))))['seen']
    assert seen['patients'] is None and seen['complete']
    assert any('no key' in message and str(tmp_path / 'file') in message for message in logged)


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
