import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from uscl_plugin.hooks.hook_settings import hook_settings

STARTS = ('', '_uscl-pre', '_imagenet-pre')
PROTOCOLS = ('finetune3', 'finetune', 'linear')


@pytest.fixture(params=[(start, protocol) for start in STARTS for protocol in PROTOCOLS], ids='-'.join)
def named(request, root):
    start, protocol = request.param
    return (
        start,
        protocol,
        Config.fromfile(root / 'configs' / 'pocus' / f'resnet18{start}_1xb32-{protocol}-100e_pocus-224px.py'),
    )


def test_the_papers_numbers(named):
    start, protocol, cfg = named
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer == dict(type='Adam', lr=3e-4 if protocol == 'finetune' else 0.01, weight_decay=1e-4)
    assert cfg.train_cfg.max_epochs == 100
    assert cfg.train_dataloader.batch_size == 32
    (schedule,) = cfg.param_scheduler
    assert (schedule.type, schedule.T_max, schedule.end, schedule.eta_min) == ('CosineAnnealingLR', 100, 100, 0)
    assert cfg.model.head.num_classes == 3
    freezing = list(hook_settings(cfg, 'FreezeHook'))
    assert [hook.trainable for hook in freezing] == {
        'finetune3': [['backbone.layer4.1', 'head']],
        'finetune': [],
        'linear': [['head']],
    }[protocol]
    assert [hook.batch_norm for hook in freezing] == {'finetune3': ['released'], 'linear': ['frozen']}.get(protocol, [])
    mean = [123.675, 116.28, 103.53] if 'imagenet' in start else [127.5] * 3
    assert cfg.model.data_preprocessor.mean == mean
    assert ('init_cfg' in cfg.model.backbone) == bool(start)


def test_the_schedule_is_a_cosine_to_zero(root):
    """Epoch by epoch as torch's CosineAnnealingLR, which the released code uses."""
    from mmengine.optim import OptimWrapper
    from mmengine.registry import PARAM_SCHEDULERS

    cfg = Config.fromfile(root / 'configs' / 'pocus' / 'resnet18_1xb32-finetune3-100e_pocus-224px.py')
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    ours, theirs = (torch.optim.SGD(parameters, lr=0.01) for _ in range(2))
    (entry,) = cfg.param_scheduler
    scheduler = PARAM_SCHEDULERS.build({**entry, 'optimizer': OptimWrapper(ours)})
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, T_max=100, eta_min=0)
    for _ in range(100):
        assert ours.param_groups[0]['lr'] == pytest.approx(theirs.param_groups[0]['lr'], abs=1e-12)
        for step in (ours, theirs, scheduler, reference):
            step.step()


def test_every_model_builds_and_predicts(named):
    _, _, cfg = named
    cfg.model.backbone.pop('init_cfg', None)
    model = MODELS.build({**cfg.model, '_scope_': 'mmpretrain'})
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    assert all(p.requires_grad for p in model.parameters())  # freezing is the hook's
