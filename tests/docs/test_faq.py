"""The messages that docs/faq.md quotes are those that are given: each error is made to happen."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from docs_pages import DOCS, blocks
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
from mmpretrain.models import ResNet

from uscl.core.environment import find_problems
from uscl.data.frame_store import read_index
from uscl.data.video_folder import VideoFolder
from uscl_plugin.hooks import FiniteLossHook
from uscl_plugin.hooks.backbone_check import count_arrived
from uscl_plugin.models.heads import uscl_head
from uscl_plugin.models.losses import LightlyNTXentLoss
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

QUOTED = [block.code.strip() for block in blocks(DOCS / 'faq.md', 'text')]


def two_families(tmp_path, make_clusters):
    return find_problems({'onedl-mmengine': '0.10.12', 'mmengine': '0.10.7'})[0]


def no_pkg_resources(tmp_path, make_clusters):
    versions = {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmpretrain': '1.2.0', 'setuptools': '82.0.0'}
    return find_problems(versions)[0]


def not_registered(tmp_path, make_clusters):
    from mmdet.registry import DATASETS

    init_default_scope('mmdet')
    with pytest.raises(KeyError) as error:
        DATASETS.build(dict(type='VideoClusterDataset', data_root='x'))
    return str(error.value)


def nothing_loaded(tmp_path, make_clusters):
    init_default_scope('mmpretrain')
    state = {f'backbone.{name}': tensor for name, tensor in ResNet(18).state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        count_arrived(ResNet(18), {f'x.{name}': tensor for name, tensor in state.items()})
    return str(error.value)


def pickled_code(tmp_path, make_clusters):
    torch.save({'state_dict': {}, 'log': HistoryBuffer()}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError) as error:
        load_plain_checkpoint(tmp_path / 'a.pth')
    return str(error.value)


def store_damaged(tmp_path, make_clusters):
    folder = make_clusters(tmp_path, {'a/v0': (3, 'a')})
    (shard,) = read_index(folder).shards
    path = folder / 'store' / shard
    path.write_bytes(path.read_bytes()[:-1] + b'\0')
    with pytest.raises(ValueError) as error:
        VideoFolder(folder)[0]
    return str(error.value)


def one_pair(tmp_path, make_clusters):
    with pytest.raises(ValueError) as error:
        LightlyNTXentLoss()(torch.ones(1, 4), torch.ones(1, 4))
    return str(error.value)


def wrong_label(tmp_path, make_clusters):
    from mmpretrain.structures import DataSample

    with pytest.raises(ValueError) as error:
        uscl_head.batch_labels([DataSample().set_gt_label(np.array([3]))], 3, torch.device('cpu'))
    return str(error.value)


def nan_loss(tmp_path, make_clusters):
    runner = SimpleNamespace(epoch=2, work_dir='run', cfg=SimpleNamespace(filename='c.py'), model=torch.nn.Linear(1, 1))
    rank = {'rank': 0, 'losses': {'loss': float('nan')}, 'videos': ['a/v0'], 'file': 'epoch3_iter1_rank0.pth'}
    return FiniteLossHook()._losses_message(runner, [rank])


CAUSES = [
    two_families,
    not_registered,
    nothing_loaded,
    pickled_code,
    no_pkg_resources,
    store_damaged,
    nan_loss,
    one_pair,
]


@pytest.mark.parametrize('cause', [*CAUSES, wrong_label], ids=lambda cause: cause.__name__)
def test_quoted_messages_are_given(cause, tmp_path, make_clusters):
    quoted = QUOTED[[*CAUSES, wrong_label].index(cause)]
    assert ' '.join(quoted.split()) in ' '.join(cause(tmp_path, make_clusters).split())


def test_each_quotation_has_its_cause():
    assert len(QUOTED) == len(CAUSES) + 1
