"""Runs whose views grow: exact to resume, and judged at the final size."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from uscl_plugin.comparison import calibration
from uscl_plugin.comparison.calibration import seconds_per_step
from uscl_plugin.datasets.pipeline_settings import set_input_size, set_size_schedule


class Shapes(Hook):
    """Keeps the sides of the views that the network was fed, and the losses."""

    def __init__(self):
        self.seen, self.losses = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append((runner.epoch, data_batch['inputs'][0].shape[-1]))
        self.losses.append(outputs['loss'].item())


def growing(run_config, *args, **options):
    cfg = run_config(*args, **options)
    set_input_size(cfg.train_dataloader.dataset, 64)
    assert set_size_schedule(cfg.train_dataloader.dataset, dict(start=0.5, until=1.0))
    return cfg


def run(cfg):
    runner, shapes = Runner.from_cfg(cfg), Shapes()
    runner.register_hook(shapes)
    runner.train()
    return runner, shapes


def test_a_resumed_run_goes_on_at_the_size_it_had(run_config, clusters):
    held_out = {'default_hooks.held_out.data_root': str(clusters), 'default_hooks.held_out.split': None}
    straight, whole = run(growing(run_config, 4, 'straight', **held_out))
    assert {epoch: side for epoch, side in whole.seen} == {0: 32, 1: 32, 2: 48, 3: 64}
    reported = straight.message_hub.get_info('held_out')['contrastive']
    # Stopped after two of four epochs; a run of two would have grown faster.
    cfg = growing(run_config, 4, 'stopped')
    first = Runner.from_cfg(cfg)
    first.register_hook(StopAfter(2))
    with pytest.raises(KeyboardInterrupt):
        first.train()
    resumed, rest = run(growing(run_config, 4, 'stopped', resume=True, **held_out))
    assert [seen for seen in rest.seen if seen[0] == 2] == [seen for seen in whole.seen if seen[0] == 2]
    assert rest.losses == whole.losses[-len(rest.losses) :]
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert resumed.message_hub.get_info('held_out')['contrastive'] == reported


class StopAfter(Hook):
    priority = 'LOWEST'  # after the checkpoint

    def __init__(self, epochs):
        self.epochs = epochs

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epochs:
            raise KeyboardInterrupt


def test_held_out_pairs_have_the_final_size(run_config, clusters, monkeypatch):
    from uscl_plugin.models.uscl import USCL

    cfg = growing(run_config, 1)
    cfg.default_hooks.held_out.update(data_root=str(clusters), split=None)
    trained, embed = [], USCL.embed

    def look(model, inputs):
        trained.append((model.training, inputs[0].shape[-1]))
        return embed(model, inputs)

    monkeypatch.setattr(USCL, 'embed', look)
    run(cfg)
    assert {side for training, side in trained if training} == {32}
    assert {side for training, side in trained if not training} == {64}


def test_the_time_of_a_step_is_that_of_every_size_by_its_share(run_config, monkeypatch):
    from uscl_plugin.datasets.pipeline_settings import input_size, size_schedule

    def cost(cfg):
        dataset = cfg.train_dataloader.dataset
        assert size_schedule(dataset) is None
        return float(input_size(dataset) ** 2)

    monkeypatch.setattr(calibration, '_seconds_at_one_size', cost)
    cfg = growing(run_config, 1)
    # Growing from 32 to 64 over the whole run: a quarter each at 32 and 64, half of it at 48.
    assert seconds_per_step(cfg) == pytest.approx((32**2 + 2 * 48**2 + 64**2) / 4, rel=2e-3)
    assert size_schedule(cfg.train_dataloader.dataset) is not None  # the config is not changed
