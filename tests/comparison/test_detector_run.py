"""A detector starts from the backbone of its row, is kept when it has finished, and goes on when it has not."""

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from uscl.options.comparison_options import ComparisonOptions
from uscl_plugin.comparison.detector_run import run_detector
from uscl_plugin.comparison.training_run import TrainingError
from uscl_plugin.evaluation.backbones import load_backbone
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.resnet_state import backbone_state

pytest.importorskip('mmdet')
AP = {'coco/bbox_mAP': 0.25, 'coco/bbox_mAP_50': 0.5, 'coco/segm_mAP': 0.125, 'coco/segm_mAP_50': -1}


@pytest.fixture
def lesions(tmp_path):
    folder = tmp_path / 'lesions' / 'annotations'
    folder.mkdir(parents=True)
    for side in ('train', 'val'):
        (folder / f'{side}.json').write_text(json.dumps({'images': [{}, {}], 'annotations': [{}]}))
    return folder.parent


@pytest.fixture
def tool(monkeypatch):
    """In place of the host's training tool, two epochs, leaving behind what MMEngine does."""
    calls = SimpleNamespace(started_at=[], killed_after=None, evaluates=True)

    def popen(command, stdin, stdout, stderr):
        folder = Path(command[command.index('--work-dir') + 1])
        start = 0
        if '--resume' in command:
            start = int(Path((folder / 'last_checkpoint').read_text()).stem.rpartition('_')[2])
        calls.started_at.append(start)
        for epoch in range(start + 1, 3):
            torch.save(
                {'meta': {'iter': 3 * epoch}, 'state_dict': {}, 'message_hub': {}}, folder / f'epoch_{epoch}.pth'
            )
            (folder / 'last_checkpoint').write_text(str(folder / f'epoch_{epoch}.pth'))
            if epoch == calls.killed_after:
                stdout.write('Killed\n')
                return ended(137)
            if epoch == 2 and calls.evaluates:  # as MMEngine: only after an epoch that was trained
                log = folder / f'start{len(calls.started_at)}' / 'vis_data' / 'scalars.json'
                log.parent.mkdir(parents=True)
                log.write_text(json.dumps(AP | {'step': epoch}) + '\n')
        return ended(0)

    def ended(code):
        return nullcontext(SimpleNamespace(returncode=code, wait=lambda: code))

    monkeypatch.setattr(subprocess, 'Popen', popen)
    return calls


@pytest.fixture
def options(lesions):
    own = {'detection_data': str(lesions), 'detection_epochs': 2, 'detection_size': 64}
    return ComparisonOptions(pretrain_data='', eval_data='', out='', **own)


@pytest.fixture
def detect(tmp_path, options):
    return lambda spec='random', seed=0: run_detector(spec, seed, tmp_path / 'run', options)


def test_the_last_ap_is_returned_and_no_weights_of_the_detector_are_left(tool, detect, tmp_path):
    done, found = detect()
    assert found == {'box AP': 0.25, 'box AP50': 0.5, 'mask AP': 0.125}  # -1 is undefined
    assert (done.steps, done.was_finished) == (6, False)
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['backbone.pth']
    again, same = detect()
    assert same == found and again.was_finished and again.seconds == done.seconds and tool.started_at == [0]


@pytest.mark.parametrize(('killed_after', 'goes_on_from'), [(1, 1), (2, 1)])
def test_killed_in_the_middle_or_before_its_evaluation_it_goes_on_and_is_evaluated(
    tool, detect, killed_after, goes_on_from
):
    tool.killed_after = killed_after
    with pytest.raises(TrainingError, match=r'exit code 137'):
        detect()
    tool.killed_after = None
    done, found = detect()
    assert tool.started_at == [0, goes_on_from]
    assert found['box AP'] == 0.25 and done.steps == 6


def test_a_finished_run_may_be_moved(tool, tmp_path, options):
    first = run_detector('random', 0, tmp_path / 'a' / 'run', options)
    (tmp_path / 'a').rename(tmp_path / 'b')
    moved = run_detector('random', 0, tmp_path / 'b' / 'run', options)
    assert moved[0].was_finished and moved[1] == first[1] and tool.started_at == [0]


def test_another_backbone_in_the_same_folder_is_refused_and_the_first_kept(tool, detect, tmp_path):
    meta = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb'}
    for seed in (0, 1):  # one file name, as of a pretraining that was repeated
        state = load_backbone('random', seed).network.state_dict()
        write_checkpoint(tmp_path / 'x.pth', {f'backbone.{key}': value for key, value in state.items()}, meta)
        if seed == 0:
            detect(f'x={tmp_path / "x.pth"}')
            before = (tmp_path / 'run' / 'backbone.pth').read_bytes()
    with pytest.raises(TrainingError, match='config'):
        detect(f'x={tmp_path / "x.pth"}')
    assert (tmp_path / 'run' / 'backbone.pth').read_bytes() == before


def test_a_detector_without_an_evaluation_is_an_error(tool, detect):
    tool.evaluates = False
    with pytest.raises(ValueError, match='evaluation'):
        detect()


@pytest.mark.parametrize('kind', ['random', 'checkpoint', 'imagenet'])
def test_the_backbone_and_its_input_are_those_of_the_row(tool, tmp_path, options, kind):
    network = load_backbone('random', seed=5).network
    wanted = network.state_dict()
    mean, to_rgb, spec, seed = [127.5] * 3, True, 'random', 5
    if kind == 'checkpoint':  # of a pretraining, with another input
        mean, to_rgb, seed = [1.0, 2.0, 3.0], False, 0
        meta = {'mean': mean, 'std': [4.0] * 3, 'channel_order': 'bgr'}
        write_checkpoint(tmp_path / 'x.pth', {f'backbone.{key}': value for key, value in wanted.items()}, meta)
        spec = f'ours={tmp_path / "x.pth"}'
    if kind == 'imagenet':  # torchvision's names, and no word on the input
        mean, seed = [123.675, 116.28, 103.53], 0
        torch.save(wanted | {'fc.weight': torch.zeros(1000, 512), 'fc.bias': torch.zeros(1000)}, tmp_path / 'x.pth')
        spec = f'imagenet={tmp_path / "x.pth"}'
    run_detector(spec, seed, tmp_path / 'run', options)
    cfg = Config.fromfile(tmp_path / 'run' / 'config.py', import_custom_modules=False)
    assert cfg.model.backbone.init_cfg == dict(
        type='Pretrained', checkpoint=str(tmp_path / 'run' / 'backbone.pth'), prefix='backbone.'
    )
    assert (cfg.model.data_preprocessor.mean, cfg.model.data_preprocessor.bgr_to_rgb) == (mean, to_rgb)
    written = backbone_state(load_plain_checkpoint(tmp_path / 'run' / 'backbone.pth'))
    assert written.keys() == wanted.keys() and all(torch.equal(written[key], wanted[key]) for key in wanted)
