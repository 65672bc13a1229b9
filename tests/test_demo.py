"""The steps of `make demo` on the bundled clips, with two epochs."""

import json
import subprocess
import sys

import pytest
import torch
import torchvision


@pytest.mark.slow
def test_clips_become_a_backbone_and_a_report(root, tmp_path):
    def run(*command):
        done = subprocess.run([sys.executable, *map(str, command)], cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    config, checkpoint = 'configs/uscl/uscl_resnet18_demo.py', tmp_path / 'epoch_2.pth'
    run('tools/dataset_converters/videos_to_clusters.py', 'demo', '--out', tmp_path / 'data')
    run(
        'tools/train.py', config, '--work-dir', tmp_path, '--resume', '--cfg-options', 'train_cfg.max_epochs=2',
        f'train_dataloader.dataset.data_root={tmp_path / "data"}',
    )  # fmt: skip
    out = tmp_path / 'backbone.pth'
    run('tools/model_converters/export_backbone.py', checkpoint, out, '--to', 'torchvision')
    weights = torch.load(out, weights_only=True)
    missing, unexpected = torchvision.models.resnet18().load_state_dict(weights, strict=False)
    assert (missing, unexpected) == (['fc.weight', 'fc.bias'], [])

    report = tmp_path / 'report.html'
    command = ['tools/analysis/report_pretraining.py', config, checkpoint, '--out', report]
    printed = run(*command, '--data-root', tmp_path / 'data')
    assert 'before: retrieval@1' in printed and ' after: retrieval@1' in printed
    facts = json.loads(report.with_suffix('.json').read_text())
    assert (facts['num_videos'], facts['num_frames'], facts['num_held_out']) == (15, 432, 101)
    assert report.read_text().count('<img') >= 4
