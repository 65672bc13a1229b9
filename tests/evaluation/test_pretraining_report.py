import copy
import json
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from uscl.data.folder_writer import write_data_folder
from uscl.options.report_options import ReportOptions
from uscl.reports.html_page import render
from uscl_plugin.datasets.frame_set import collect_frames
from uscl_plugin.evaluation.pretrained_backbone import trained_backbone, untrained_backbone
from uscl_plugin.evaluation.pretraining_report import report_pretraining
from uscl_plugin.evaluation.seen_frames import seen_frames
from uscl_plugin.evaluation.spg_examples import mixes_first, spg_rows
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.provenance import describe_run

ROOT = Path(__file__).parents[2]
CONFIG = """
model = dict(type='USCL', backbone=dict(type='ResNet', depth=18, out_indices=(3,)),
             data_preprocessor=dict(mean=[127.5] * 3, std=[63.75] * 3, to_rgb=True))
train_dataloader = dict(batch_size=4, dataset=dict(
    type='VideoClusterDataset', data_root={root!r}, split='train', frame_range=(0.0, 0.75), pipeline=[
        dict(type='SampleVideoFrames', num_frames=3), dict(type='LoadVideoFrames'), dict(type='MixFrames'),
        dict(type='TransformBroadcaster', mapping=dict(img='img'), auto_remap=True,
             transforms=[dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(1.0, 1.0))]),
        dict(type='PackInputs', meta_keys=('video_id', 'frame_inds', 'mix_ratios'))]))
"""


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    entries = []
    for name, frames, split in (('a/<b>', 8, 'train'), ('c', 12, 'train'), ('d', 5, 'train'), ('e', 1, 'val')):
        base = rng.integers(0, 256, (24, 24, 3))
        images = [np.clip(base + k, 0, 255).astype(np.uint8) for k in range(frames)]
        entries.append({'video_id': name, 'label': 'x', 'split': split, 'frames': images})
    write_data_folder(tmp_path / 'data', entries)
    (tmp_path / 'config.py').write_text(CONFIG.format(root=str(tmp_path / 'data')))
    init_default_scope('mmpretrain')
    return tmp_path


@pytest.fixture
def cfg(data):
    return Config.fromfile(data / 'config.py')


def save(path, network, **more):
    state = {f'backbone.{name}': value for name, value in network.state_dict().items()}
    content = {'state_dict': {**state, 'head.weight': torch.zeros(2)}, 'meta': {'epoch': 7, 'iter': 70}}
    torch.save(content | more, path)


def seen(cfg, checkpoint, **others):
    found = collect_frames(cfg, **others)
    return found, *seen_frames(cfg, checkpoint, found)


def test_frames_know_their_video_and_whether_they_were_seen(data, cfg):
    plain = data / 'plain.pth'
    save(plain, untrained_backbone(cfg))
    found, frames, number = seen(cfg, plain)
    np.testing.assert_array_equal(np.bincount(found.video), [8, 12, 5])
    np.testing.assert_array_equal(np.bincount(found.video[found.query]), [2, 3, 1])
    np.testing.assert_array_equal(frames, ~found.query)  # the config trains on the first three quarters
    assert (found.video_ids, found.classes, number) == (['a/<b>', 'c', 'd'], ['x'] * 3, 3)
    every, frames, _ = seen(cfg, plain, split='all')
    assert len(every) == 26 and not frames[-1] and not every.query[-1]
    np.testing.assert_array_equal(frames[:-1], ~every.query[:-1])
    cfg.train_dataloader.dataset.frame_range = (0.0, 1.0)
    assert seen(cfg, plain)[1].all()


def test_the_checkpoint_knows_what_was_seen_when_the_data_have_moved(data, cfg):
    plain, own = data / 'plain.pth', data / 'own.pth'
    network = untrained_backbone(cfg)
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[]))
    save(plain, network)
    save(own, network, meta={'uscl': describe_run(cfg, dataset)})
    expected = seen(cfg, plain, split='all')[1]
    np.testing.assert_array_equal(seen(cfg, own, split='all')[1], expected)
    moved = str((data / 'data').rename(data / 'moved'))
    _, frames, number = seen(cfg, own, data_root=moved, split='all')
    np.testing.assert_array_equal(frames, expected)
    assert number is None
    assert seen(cfg, plain, data_root=moved)[1:] == (None, None)


def test_wrappers_are_opened(data, cfg):
    plain = collect_frames(cfg)
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=3, dataset=inner)
    repeated = collect_frames(cfg)
    np.testing.assert_array_equal(repeated.video, plain.video)
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[inner, inner])
    with pytest.raises(ValueError, match='--data-root'):
        collect_frames(cfg)
    save(data / 'plain.pth', untrained_backbone(cfg))
    given, frames, number = seen(cfg, data / 'plain.pth', data_root=inner.data_root, split='all')
    assert given.video_ids == [*plain.video_ids, 'e'] and number == 6
    np.testing.assert_array_equal(frames, ~given.query & (given.video < 3))


@pytest.mark.parametrize(
    'seen, total, gallery, words',
    [
        (None, 5, None, 'Training data unknown'),
        (5, 5, 9, 'All of the 5 held-out frames were seen'),
        (2, 5, 9, '2 of the 5 held-out frames were seen'),
        (0, 5, 9, 'None of the 5 held-out frames were seen in training, but'),
        (0, 5, 0, 'None of the frames on this page'),
        (0, 0, 9, 'No video'),
    ],
)
def test_the_page_says_what_was_seen(seen, total, gallery, words):
    facts = {'num_held_out': total, 'num_held_out_seen_in_training': seen, 'num_gallery_seen_in_training': gallery}
    facts |= {'frame_range_of_training': (0, 0.75), 'num_train_videos': 3}
    assert words in render('seen_in_training.html', facts=facts)


def test_the_untrained_network_depends_on_the_seed_alone(cfg):
    first, again, other = (untrained_backbone(cfg, seed).state_dict()['conv1.weight'] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    cfg.model.backbone.init_cfg = {'type': 'Pretrained', 'checkpoint': 'nowhere.pth'}
    assert torch.isfinite(untrained_backbone(cfg).state_dict()['conv1.weight']).all()


def test_the_trained_network_has_the_weights_of_the_file_or_is_an_error(data, cfg):
    network = untrained_backbone(cfg, 5)
    save(data / 'good.pth', network)
    loaded = trained_backbone(cfg, data / 'good.pth').state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())
    for spoil in (lambda m: m.layer4.__delitem__(1), lambda m: m.add_module('extra', torch.nn.Linear(1, 1))):
        spoiled = copy.deepcopy(network)
        spoil(spoiled)
        save(data / 'bad.pth', spoiled)
        with pytest.raises(CheckpointError, match=r'bad\.pth '):
            trained_backbone(cfg, data / 'bad.pth')


def test_examples_show_the_frames_that_were_drawn(data, cfg):
    rows = spg_rows(cfg, 3)
    assert [row['video_id'] for row in rows] == ['a/<b>', 'c', 'd']
    for row in rows:
        x1, x2, x3 = (cv2.resize(frame.astype(np.float32), (32, 32)) for frame in row['frames'])
        first, second = row['mix_ratios']
        expected = first * x1 + (1 - first) * x2, second * x3 + (1 - second) * x2
        for view, image in zip(row['views'], expected, strict=True):
            assert np.abs(view.astype(float) - image).mean() < 12  # the crop may cut one side
    assert len(spg_rows(cfg, 2)) == 2 and mixes_first(cfg)
    again = spg_rows(cfg, 3)
    assert all(row['mix_ratios'] == other['mix_ratios'] for row, other in zip(rows, again, strict=True))
    assert rows[0]['mix_ratios'] != spg_rows(cfg, 3, seed=1)[0]['mix_ratios']


def test_the_page_and_its_numbers(data, cfg):
    (data / 'run' / '20260101' / 'vis_data').mkdir(parents=True)
    (data / 'run' / '20260101' / 'vis_data' / 'scalars.json').write_text(
        '{"loss": 2.0, "loss_contrastive": 1.9, "loss_cls": 0.1, "spread": 0.3, "similarity_conflict": 0, "iter": 1}\n'
        '{"held_out/auroc": 0.7, "step": 1}\n'
    )
    save(data / 'run' / 'epoch_7.pth', untrained_backbone(cfg, 0))
    options = ReportOptions(
        str(data / 'config.py'), str(data / 'run' / 'epoch_7.pth'), str(data / 'out' / 'page.html'), triplets=1
    )
    facts = report_pretraining(options, 'python report.py <1>')
    assert json.loads((data / 'out' / 'page.json').read_text()) == facts
    assert facts['before'] == facts['after']  # the checkpoint is the untrained network of this seed
    assert (facts['epoch'], facts['num_frames'], facts['num_held_out'], facts['input_size']) == (7, 25, 6, 32)
    page = (data / 'out' / 'page.html').read_text(encoding='utf-8')
    assert facts['versions'].keys() > {'uscl_plugin', 'python', 'torch', 'mmpretrain'} and facts['device'] in page
    assert facts['command'] == 'python report.py <1>' and 'python report.py &lt;1&gt;' in page
    assert 'log(' not in page and page.count('<img') == 6 and 'No videos were held out' not in page
    assert '0 in every logged step' in page
    assert 'an untrained network can already retrieve' in page
    assert 'a/<b>' not in page
    assert list(facts['after']['branches']) == ['layer1', 'layer2', 'layer3', 'layer4']
    assert facts['after']['images'] == 25 and 1 <= facts['after']['effective_rank'] <= 25
    # MMPretrain's own default starts branches at 0, in which this config leaves them.
    assert max(facts['after']['branches'].values()) < 1e-6
    assert facts['warning'].startswith('residual branches are closed') and facts['warning'] in page
    one = report_pretraining(ReportOptions(options.config, options.checkpoint, options.out, split='val'))
    assert one['after']['effective_rank'] is None and one['after']['branches'] == {}  # a single frame
    assert one['after']['retrieval'] is None and one['after']['auroc'] is None


@pytest.mark.slow
def test_the_tool_reports_trouble_in_one_line(data, cfg, monkeypatch, capsys):
    tool = [sys.executable, ROOT / 'tools' / 'analysis' / 'report_pretraining.py', data / 'config.py']
    result = subprocess.run([*tool, data / 'none.pth'], cwd=data, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    assert 'none.pth does not exist' in result.stderr and 'Traceback' not in result.stderr
    save(data / 'good.pth', untrained_backbone(cfg, 3))
    monkeypatch.chdir(data)
    monkeypatch.setattr(sys, 'argv', list(map(str, [*tool[1:], data / 'good.pth'])))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(sys.argv[0], run_name='__main__')  # the same script, without a second import of the hosts
    assert ended.value.code == 0
    assert 'retrieval@1' in capsys.readouterr().out and (data / 'report.json').is_file()
