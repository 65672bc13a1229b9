"""MMDetection's own tool starts from what `uscl pretrain` leaves."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from lesion_truth import write_truth

from uscl_plugin.pretraining.pretraining_run import pretrain
from uscl_plugin.running.host_tools import host_tool
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint


@pytest.mark.slow  # a pretraining run, and a detector in a process of its own
def test_mmdetections_own_tool_trains_on_the_backbone(root, tiny, tmp_path):
    pytest.importorskip('mmdet')
    options = replace(tiny(), epochs=1)
    assert pretrain(options, '') == 0
    data = write_truth(tmp_path / 'data')
    truth = json.loads((data / 'annotations' / 'val.json').read_text())
    for image in truth['images']:  # another patient's: an image on both sides would be refused
        other = {'file_name': f'other_{image["file_name"]}', 'patient_id': f'other {image["patient_id"]}'}
        shutil.copy(data / 'images' / image['file_name'], data / 'images' / other['file_name'])
        image.update(other)
    (data / 'annotations' / 'train.json').write_text(json.dumps(truth))
    changes = [f'model.backbone.init_cfg.checkpoint={options.out}/backbone.pth', 'train_cfg.max_epochs=1']
    changes += ['model.train_cfg.rpn_proposal.max_per_img=50']
    for name in ('train', 'val', 'test'):
        loader = f'{name}_dataloader'
        changes += [f'{loader}.dataset.data_root={data}', f'{loader}.dataset.steps.Resize.scale=(64,64)']
        changes += [f'{loader}.num_workers=0', f'{loader}.persistent_workers=False']
    config = root / 'configs' / 'udiat_b' / 'faster-rcnn_r18_fpn_uscl_1xb2-30e_udiat-b.py'
    command = [sys.executable, host_tool('mmdet', 'train'), config, '--work-dir', tmp_path / 'run']
    done = subprocess.run([*command, '--cfg-options', *changes], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert 'all 120 tensors of the backbone were loaded' in done.stdout + done.stderr
    start = load_plain_checkpoint(f'{options.out}/backbone.pth')['state_dict']
    trained = load_plain_checkpoint(tmp_path / 'run' / 'epoch_1.pth')['state_dict']
    assert start.keys() <= trained.keys()
    # Close to where it started: a backbone that was not loaded is nowhere near.
    one, other = (state['backbone.layer1.0.conv1.weight'].flatten() for state in (start, trained))
    assert torch.cosine_similarity(one, other, dim=0) > 0.99
