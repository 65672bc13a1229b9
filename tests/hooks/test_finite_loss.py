"""A loss that is no number ends the run, names its videos, leaves weights and checkpoints, and can be run again."""

import random
import re
import resource
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.hooks import Hook
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import distributed as dist

from uscl_plugin.hooks.finite_loss import FiniteLossHook, NonFiniteError
from uscl_plugin.hooks.saved_step import not_finite, random_state
from uscl_plugin.running.batch_replay import load_step, replay, set_random_state
from uscl_plugin.weights.plain_types import to_plain

LAST_GOOD = 'epoch_1.pth'


class Planted(Hook):
    """At one step, makes the classifier's weights or a layer's output infinite, or a gradient NaN; notes the losses."""

    priority = 'HIGHEST'

    def __init__(self, what, at):
        self.what, self.at = what, at

    def before_train(self, runner):
        learn = runner.model.head.loss

        def loss(*args):
            self.losses = learn(*args)
            return self.losses

        runner.model.head.loss = loss

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.videos = [sample.get('video_id') for sample in data_batch['data_samples']]
        self.state = {name: value.clone() for name, value in runner.model.state_dict().items()}
        torch.rand(1)
        self.random = torch.get_rng_state()
        if runner.iter == self.at:
            model = runner.model
            if self.what == 'classifier':
                model.head.classifier.weight.data[0, 0] = torch.inf
            elif self.what == 'layer':
                model.backbone.layer2[0].conv2.weight.data.fill_(3e38)
            else:
                next(model.neck.parameters()).register_hook(lambda gradient: gradient * torch.nan)


def checked(cfg):
    cfg.default_hooks.setdefault('finite_loss', dict(type='FiniteLossHook'))
    return cfg


def stopped(cfg, what, at=3):
    """The runner, what was planted, and the message of its end."""
    runner = Runner.from_cfg(checked(cfg))
    planted = Planted(what, at)
    runner.register_hook(planted)
    with pytest.raises(NonFiniteError) as caught:
        runner.train()
    return runner, planted, str(caught.value)


def state_of(path):
    return torch.load(path, weights_only=True)['state_dict']


@pytest.mark.parametrize('accumulate', [1, 2])
def test_the_run_ends_before_the_step_and_names_its_videos(run_config, accumulate):
    cfg = run_config(3)
    cfg.optim_wrapper.accumulative_counts = accumulate
    runner, planted, message = stopped(cfg, 'classifier')
    assert message.startswith('loss_cls = nan at epoch 2, step 2, ')
    assert 'loss_contrastive' not in message.split('epoch')[0]
    assert all(video in message for video in planted.videos) and len(planted.videos) > 1
    work_dir = Path(cfg.work_dir)
    assert [path.name for path in work_dir.glob('*.pth')] == [LAST_GOOD]
    assert not not_finite(state_of(work_dir / LAST_GOOD))
    for name, value in runner.model.named_parameters():  # the planted infinity aside, as they were before the step
        if name != 'head.classifier.weight':
            assert torch.equal(value, planted.state[name]), name
    file = work_dir / 'non_finite' / 'epoch2_iter2_rank0.pth'
    saved = torch.load(file, weights_only=True)
    assert str(file) in message and saved['videos'] == planted.videos and saved['left_out'] == []
    assert torch.equal(saved['random']['torch'], planted.random)
    for name, value in planted.state.items():  # running statistics, too, are those before the step
        if name != 'head.classifier.weight':
            assert torch.equal(saved['state'][name], value), name
    assert [sample['metainfo']['mix_ratios'] for sample in saved['batch']['data_samples']]
    assert [sample['metainfo']['frame_inds'] for sample in saved['batch']['data_samples']]


@pytest.mark.parametrize('on_device', [False, True])
def test_a_replay_gives_the_same_losses_and_the_first_module(run_config, root, on_device):
    cfg = run_config(2)
    if on_device:  # pairs are made in the preprocessor, with the model's own random numbers
        from mmengine.config import Config

        device = Config.fromfile(root / 'configs' / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px_device-aug.py')
        cfg.train_dataloader.dataset.pipeline = device.train_dataloader.dataset.pipeline
        cfg.train_dataloader.dataset.steps = dict(DrawViews=dict(scale=32))
        cfg.train_dataloader.collate_fn = device.train_dataloader.get('collate_fn')
        cfg.model.data_preprocessor = device.model.data_preprocessor
    model_cfg = cfg.to_dict()['model']
    _, planted, message = stopped(cfg, 'classifier')
    file = re.search(r'\S+rank0\.pth', message)[0].rstrip(',:')
    torch.manual_seed(99)
    found = replay(model_cfg, load_step(Path(file)))
    assert found.losses['loss_contrastive'] == pytest.approx(planted.losses['loss_contrastive'].item(), rel=1e-6)
    assert found.losses['loss_cls'] != found.losses['loss_cls']
    assert found.first == 'head.classifier (Linear)' and found.bad_weights == ['head.classifier.weight']
    assert found.bad_gradients == []


@pytest.mark.slow
def test_the_tool_says_where_it_starts(run_config, root):
    cfg = run_config(2)
    cfg.dump(Path(cfg.work_dir).with_suffix('.py'))
    _, planted, message = stopped(cfg, 'layer')
    file = re.search(r'\S+rank0\.pth', message)[0].rstrip(',:')
    command = [sys.executable, root / 'tools' / 'analysis' / 'replay_batch.py', Path(cfg.work_dir).with_suffix('.py')]
    done = subprocess.run([*command, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'first output that is not finite: backbone.layer2.0.conv2 (Conv2d)' in done.stdout
    assert 'loss_contrastive: nan' in done.stdout and planted.videos[0] in done.stdout


def test_weights_that_a_gradient_spoilt_are_never_saved(run_config):
    runner, planted, message = stopped(run_config(3), 'gradient')  # in the last step of epoch 2, at a finite loss
    assert runner.iter == 4 and all(torch.isfinite(loss) for loss in planted.losses.values())
    assert 'not finite at epoch 2, step 2, ' in message and planted.videos[0] in message
    work_dir = Path(runner.work_dir)
    assert [path.name for path in work_dir.glob('*.pth')] == [LAST_GOOD]
    assert not not_finite(state_of(work_dir / LAST_GOOD))
    assert (work_dir / 'last_checkpoint').read_text().endswith(LAST_GOOD)
    with pytest.raises(NonFiniteError):  # checkpoints by iterations, of other hooks, of an interruption
        runner.save_checkpoint(str(work_dir), 'other.pth')
    assert not (work_dir / 'other.pth').exists()


class CpuScaler(AmpOptimWrapper):
    """Mixed precision's wrapper, whose scale is so large at first that gradients overflow."""

    def __init__(self, **kwargs):
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param, self.cast_dtype = None, torch.bfloat16
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=2.0**127)


def test_an_overflow_of_the_scaler_is_not_an_error(run_config):
    OPTIM_WRAPPERS.register_module(module=CpuScaler, force=True)
    cfg = checked(run_config(2))
    cfg.optim_wrapper.type = 'CpuScaler'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.optim_wrapper.loss_scaler.get_scale() < 2.0**127  # steps were skipped
    assert (Path(cfg.work_dir) / 'epoch_2.pth').is_file()
    assert 'parse_losses' not in vars(runner.model)


def test_a_full_disk_does_not_hide_the_loss(run_config):
    """The kernel refuses more than so many bytes a file, which torch reports by an error that is no OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        _, _, message = stopped(run_config(1), 'layer', at=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 'saved as nowhere (' in message and message.startswith('loss_contrastive = nan')


def test_random_numbers_go_on_from_a_saved_state(tmp_path):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    torch.save(to_plain(random_state()), tmp_path / 'state.pth')
    drawn = draw()
    set_random_state(torch.load(tmp_path / 'state.pth', weights_only=True))
    assert draw() == drawn != draw()


def test_what_counts_as_not_finite():
    tensors = {
        'ok': torch.tensor([1.0, -3e38]),
        'half': torch.tensor([65504.0], dtype=torch.float16),
        'nan': torch.tensor([[1.0], [torch.nan]]),
        'low': torch.tensor([0.0, -torch.inf]),
        'both': torch.tensor([torch.inf, -torch.inf]),
        'whole': torch.tensor([2**40]),
        'none': torch.zeros(0),
    }
    assert not_finite(tensors) == ['nan', 'low', 'both'] and not_finite({}) == []


def test_the_hook_is_found_by_its_name():
    from mmengine.registry import HOOKS

    assert isinstance(HOOKS.build(dict(type='FiniteLossHook')), FiniteLossHook)


class OneRankFails(BaseModel):
    """A loss of two parts, one of which is no number on the second process alone, at the second step."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)

    def forward(self, inputs, data_samples, mode):
        is_bad = dist.get_rank() == 1 and 'bad' in data_samples[0]['video_id']
        return {'loss_a': self.fc(inputs).mean(), 'loss_b': self.fc(inputs).std() * (torch.nan if is_bad else 1)}


def _worker(rank, port, work_dir, results):
    torch.set_num_threads(1)
    init = dict(init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2, timeout=timedelta(seconds=60))
    dist.init_process_group('gloo', **init)
    torch.manual_seed(0)
    model = MMDistributedDataParallel(OneRankFails(), device_ids=None)
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    cfg = SimpleNamespace(filename='configs/some.py')
    runner = SimpleNamespace(model=model, optim_wrapper=optim, work_dir=work_dir, epoch=0, cfg=cfg)
    hook, weights = FiniteLossHook(), []
    hook.before_train(runner)
    try:
        for step, word in enumerate(['good', 'bad', 'good']):
            weights.append(model.module.fc.weight.detach().clone())
            batch = {'inputs': torch.randn(4, 3), 'data_samples': [{'video_id': f'{word}{rank}{k}'} for k in range(4)]}
            hook.before_train_iter(runner, step, batch)
            model.train_step(batch, optim)
    except NonFiniteError as error:
        unchanged = torch.equal(model.module.fc.weight, weights[-1]) and not torch.equal(weights[0], weights[1])
        results[rank] = (str(error), len(weights), unchanged)
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_processes_end_at_the_same_step_for_the_loss_of_one(tmp_path, free_port):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.start_processes(_worker, (free_port, str(tmp_path), results), nprocs=2, start_method='forkserver')
        results = dict(results)
    assert results[0] == results[1]
    message, steps, unchanged = results[0]
    assert steps == 2 and unchanged
    assert message.startswith('loss_b = nan in process 1 at epoch 1, step 2, ')
    assert 'process 0: bad00, bad01, bad02, bad03; process 1: bad10, bad11, bad12, bad13' in message
    files = sorted((tmp_path / 'non_finite').iterdir())
    assert [file.name for file in files] == [f'epoch1_iter2_rank{rank}.pth' for rank in range(2)]
    assert all(str(file) in message for file in files) and message.endswith(f'some.py {files[1]}')
