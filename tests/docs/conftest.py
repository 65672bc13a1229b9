"""A small workspace in which the code of the documentation runs: data, a checkpoint, and what is exported from it."""

import pytest
import torch
from docs_pages import ROOT
from mmpretrain.models import ResNet

from uscl.data.annotations import read_annotations, write_annotations
from uscl_plugin.weights.backbone_export import export_backbone


@pytest.fixture(scope='session')
def workspace(make_clusters, tmp_path_factory):
    """Nothing in it is changed by a page that another page needs."""
    folder = tmp_path_factory.mktemp('workspace')
    videos = {f'{"ab"[k % 2]}/v{k}': (4, 'ab'[k % 2], f'p{k // 2}') for k in range(8)}
    data = make_clusters(folder / 'data' / 'mine', videos)
    entries = read_annotations(data / 'annotations.json')['data_list']
    for entry in entries:
        entry['split'] = 'val' if entry['patient_id'] == 'p0' else 'train'
    write_annotations(data / 'annotations.json', entries, ['a', 'b'])

    # As a published split that divides the clips of one patient.
    divided = make_clusters(folder / 'data' / 'pocus_ub', videos)
    entries = read_annotations(divided / 'annotations.json')['data_list']
    for entry in entries:
        entry['split'] = 'test' if entry['video_id'] == 'a/v0' else 'train'
    write_annotations(divided / 'annotations.json', entries, ['a', 'b'])

    torch.manual_seed(0)
    network = ResNet(18, out_indices=(3,))
    network.init_weights()
    checkpoint = folder / 'work_dirs' / 'mine' / 'epoch_200.pth'
    checkpoint.parent.mkdir(parents=True)
    cfg = "model = dict(type='USCL', data_preprocessor=dict(mean=127.5, std=63.75, to_rgb=True))"
    state = {f'backbone.{name}': tensor for name, tensor in network.state_dict().items()}
    torch.save({'meta': {'cfg': cfg}, 'state_dict': state}, checkpoint)
    export_backbone(checkpoint, folder / 'mmdet.pth', 'mmdet')
    export_backbone(checkpoint, folder / 'backbone.pth', 'torchvision')
    for name in ('configs', 'tools', 'demo'):
        (folder / name).symlink_to(ROOT / name)
    return folder
