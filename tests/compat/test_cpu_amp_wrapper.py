"""bfloat16 on a processor."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from uscl_plugin.compat import cpu_amp_wrapper
from uscl_plugin.compat.cpu_amp_wrapper import has_bfloat16_instructions


class Types(Hook):
    """Keeps the types of what convolutions return, and the losses."""

    def before_train(self, runner):
        self.convolved, self.losses = set(), []
        for module in runner.model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(self._look)

    def _look(self, module, inputs, output):
        if module.training:
            self.convolved.add(output.dtype)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'])


def trained(cfg):
    runner, types = Runner.from_cfg(cfg), Types()
    runner.register_hook(types)
    runner.train()
    return runner, types


def test_the_network_runs_in_bfloat16_and_its_weights_stay_in_float32(run_config):
    _, exact = trained(run_config(2, 'plain'))
    mixed, types = trained(run_config(2, 'mixed', **{'optim_wrapper.type': 'CPUAmpOptimWrapper'}))
    assert exact.convolved == {torch.float32} and types.convolved == {torch.bfloat16}
    assert all(tensor.dtype != torch.bfloat16 for tensor in mixed.model.state_dict().values())
    assert all(loss.dtype == torch.float32 for loss in types.losses)
    # Eight bits: the first loss differs by far less than another batch would make it.
    assert float(types.losses[0]) == pytest.approx(float(exact.losses[0]), rel=0.01)
    assert float(types.losses[0]) != float(exact.losses[0])


@pytest.mark.parametrize(
    ('known', 'expected'),
    [({}, False), ({'avx512_f': True}, False), *(({name: True}, True) for name in ('avx512_bf16', 'amx_bf16', 'bf16'))],
)
def test_which_processors_have_instructions_for_it(monkeypatch, known, expected):
    monkeypatch.setattr(cpu_amp_wrapper.torch.cpu, 'get_capabilities', lambda: known, raising=False)
    assert has_bfloat16_instructions() is expected


def test_a_torch_that_cannot_tell(monkeypatch):
    monkeypatch.delattr(cpu_amp_wrapper.torch.cpu, 'get_capabilities', raising=False)
    assert has_bfloat16_instructions() is False
