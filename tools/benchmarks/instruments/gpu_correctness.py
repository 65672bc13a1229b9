"""Are results on a device those of the CPU? Each check returns whether they are, and the number that says so."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS, MODELS
from torch import Tensor

from uscl_plugin.datasets.transforms import collate_frames
from uscl_plugin.models.data_preprocessors import make_views
from uscl_plugin.models.losses.ntxent import LightlyNTXentLoss

from .config_workload import benchmark_config

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
DEVICE_PAIRS = CONFIGS / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px_device-aug.py'
WORKER_PAIRS = CONFIGS / 'uscl' / 'uscl_resnet18_1xb32-300e_us4-224px.py'
# Of the speckle of synthetic clips; bounds of the tests on noise, the worst case
_LEVELS, _MEAN_LEVEL = 24, 0.5


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """What the checks run on.

    Attributes:
        data: Folder of synthetic clips.
        folder: Empty folder for runs.
        device: The device.
        size: Side length of a view in pixels.
        batch_size: Videos per batch.
        options: Changes to the configs, such as a narrower network.
    """

    data: Path
    folder: Path
    device: torch.device
    size: int
    batch_size: int
    options: dict[str, Any]

    def config(self, path: Path = DEVICE_PAIRS) -> Config:
        """A config on the clips, loaded in this process."""
        return benchmark_config(path, self.data, self.size, self.batch_size, 0, copy.deepcopy(self.options))


def device_pairs(settings: CheckSettings) -> tuple[bool, str]:
    """Views made on the device against those made on the CPU from the same numbers."""
    batch = collate_frames(_samples(settings, DEVICE_PAIRS))
    views = [
        torch.stack(make_views(batch['inputs'], batch['view_params'], device)) for device in ('cpu', settings.device)
    ]
    difference = (views[0] - views[1].cpu()).abs()
    share = (difference > 0).float().mean().item()
    # Positions of the rotation may round otherwise, by one level, which brightness and contrast amplify.
    return bool(difference.max() <= 4 and share < 0.01), f'{difference.max():.0f} levels, {share:.2%} of pixels differ'


def worker_pairs(settings: CheckSettings) -> tuple[bool, str]:
    """Views made on the device against those that workers make with the same seed."""
    batch = collate_frames(_samples(settings, DEVICE_PAIRS))
    found = torch.stack(make_views(batch['inputs'], batch['view_params'], settings.device)).cpu()  # (2, B, 1, S, S)
    expected = torch.stack([torch.stack(list(sample['inputs'])) for sample in _samples(settings, WORKER_PAIRS)], dim=1)
    difference = (found - expected).abs()
    passed = difference.max() <= _LEVELS and difference.mean() < _MEAN_LEVEL
    return bool(passed), f'at most {difference.max():.0f} levels, {difference.mean():.3f} on average'


def nt_xent_under_autocast(settings: CheckSettings) -> tuple[bool, str]:
    """The loss of bfloat16 projections against its definition in double precision."""
    torch.manual_seed(0)
    first = torch.randn(128, 64)
    views = [view.to(torch.bfloat16) for view in (first, first + 0.3 * torch.randn(128, 64))]
    with torch.autocast(settings.device.type, torch.bfloat16):
        found = LightlyNTXentLoss(temperature=0.1)(*(view.to(settings.device) for view in views))
    images = F.normalize(torch.cat(views).double(), dim=1)
    logits = (images @ images.T / 0.1).fill_diagonal_(-torch.inf)
    expected = F.cross_entropy(logits, torch.arange(256).roll(128)).item()
    error = abs(found.item() - expected) / expected
    return found.dtype == torch.float32 and error < 1e-3, f'relative error {error:.1e}'


def resume(settings: CheckSettings) -> tuple[bool, str]:
    """Two epochs at once against one, a checkpoint and another."""
    start = _first_weights(settings)
    whole, parts = settings.folder / 'whole', settings.folder / 'parts'
    _train(settings, whole, 2)
    _train(settings, parts, 1)
    _train(settings, parts, 2, resume=True)
    results = [_weights(folder / 'epoch_2.pth') for folder in (whole, parts)]
    moved, apart = (
        torch.stack([(results[0][name] - other[name]).norm() for name in start]).norm() for other in (start, results[1])
    )
    # A GPU adds in any order, which Adam amplifies; without the optimiser's state it is a multiple of this.
    return bool(apart < 0.05 * moved), f'differ by {apart / moved:.1e} of the way that the weights went'


def frozen_layers(settings: CheckSettings) -> tuple[bool, str]:
    """A stage that is kept, with its batch norms, and one that trains."""
    start = _first_weights(settings)
    freeze = {'type': 'FreezeHook', 'trainable': ['backbone.layer4', 'neck', 'head'], 'batch_norm': 'frozen'}
    _train(settings, settings.folder / 'frozen', 1, custom_hooks=[freeze])
    end = _weights(settings.folder / 'frozen' / 'epoch_1.pth')
    frozen = [name for name in start if name.startswith('backbone.') and not name.startswith('backbone.layer4')]
    moved = sum(not torch.equal(start[name], end[name]) for name in start if name.startswith('backbone.layer4'))
    kept = sum(torch.equal(start[name], end[name]) for name in frozen)
    return kept == len(frozen) and moved > 0, f'{kept} of {len(frozen)} frozen tensors kept, {moved} others moved'


def detector_step(settings: CheckSettings) -> tuple[bool, str]:
    """RoIAlign, NMS and a step of Faster R-CNN with whichever operations are installed."""
    import uscl_plugin.compat.mmcv_ops  # noqa: F401  installs torchvision's, unless mmcv's are compiled

    Config.fromfile(
        CONFIGS / 'bus_uclm' / 'faster-rcnn_r18_fpn_scratch_1xb2-30e_bus-uclm.py'
    )  # registers all of MMDetection
    from mmcv.ops import nms, roi_align
    from mmdet.registry import MODELS as DETECTORS
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    torch.manual_seed(0)
    maps, corners, scores = torch.randn(1, 4, 32, 32), 100 * torch.rand(64, 2), torch.rand(64)
    boxes = torch.cat([corners, corners + 30], dim=1)
    rois = torch.cat([torch.zeros(64, 1), boxes], dim=1)
    results = [
        (
            nms(boxes.to(device), scores.to(device), 0.3)[1].cpu(),
            roi_align(maps.to(device), rois.to(device), 7, 0.25).cpu(),
        )
        for device in ('cpu', settings.device)
    ]
    equal = torch.equal(results[0][0], results[1][0]) and torch.allclose(results[0][1], results[1][1], atol=1e-4)

    cfg = Config.fromfile(CONFIGS / 'bus_uclm' / 'faster-rcnn_r18_fpn_scratch_1xb2-30e_bus-uclm.py')
    init_default_scope('mmdet')
    try:
        model = DETECTORS.build(cfg.model).to(settings.device).train()
        sample = DetDataSample(metainfo={'img_shape': (128, 128), 'pad_shape': (128, 128), 'scale_factor': (1.0, 1.0)})
        truth = torch.tensor([[20.0, 20, 90, 90]])
        sample.gt_instances = InstanceData(bboxes=truth, labels=torch.zeros(1, dtype=torch.long))
        batch = {'inputs': [torch.randint(0, 256, (3, 128, 128), dtype=torch.uint8)], 'data_samples': [sample]}
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))
        loss.backward()
        gradient = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    finally:
        init_default_scope('mmpretrain')
    finite = bool(torch.isfinite(loss) and torch.isfinite(gradient) and gradient > 0)
    return equal and finite, f'operations {"equal" if equal else "differ from"} the CPU, loss {loss.item():.2f}'


CHECKS: dict[str, Callable[[CheckSettings], tuple[bool, str]]] = {
    'pairs: device = CPU': device_pairs,
    'pairs: device = workers': worker_pairs,
    'NT-Xent under autocast': nt_xent_under_autocast,
    'resume': resume,
    'frozen layers': frozen_layers,
    'detector step': detector_step,
}


def run_check(name: str, settings: CheckSettings) -> tuple[bool, str]:
    """Run one of :data:`CHECKS` in a folder of its own; an exception is a failure."""
    folder = settings.folder / name.replace(' ', '_').replace(':', '')
    try:
        return CHECKS[name](replace(settings, folder=folder))
    except Exception as error:  # the others shall run
        return False, f'{type(error).__name__}: {(str(error).strip() or "no message").splitlines()[0]}'


def _samples(settings: CheckSettings, config: Path) -> list[dict]:
    """The first videos of an epoch, from a config's dataset."""
    dataset = DATASETS.build(settings.config(config).train_dataloader.dataset)
    dataset.set_epoch(0, 0)
    return [dataset[index] for index in range(settings.batch_size)]


def _first_weights(settings: CheckSettings) -> dict[str, Tensor]:
    """Weights that the runs of a folder start from; they are written to ``first.pth``."""
    torch.manual_seed(0)
    model = MODELS.build(settings.config().model)
    model.init_weights()
    settings.folder.mkdir(parents=True)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.save({'state_dict': state}, settings.folder / 'first.pth')
    return {name: value for name, value in state.items() if value.is_floating_point()}


def _weights(path: Path) -> dict[str, Tensor]:
    return torch.load(path, map_location='cpu', weights_only=True)['state_dict']


def _train(settings: CheckSettings, folder: Path, epochs: int, resume: bool = False, **changes: Any) -> None:
    """Train as ``uscl train`` does, with all hooks."""
    cfg = settings.config()
    cfg.merge_from_dict(
        {
            'work_dir': str(folder),
            'experiment_name': f'{settings.folder.name}-{folder.name}-{epochs}',
            'load_from': None if resume else str(settings.folder / 'first.pth'),
            'resume': resume,
            'train_cfg.max_epochs': epochs,
            'default_hooks.checkpoint.interval': 1,
            'default_hooks.pair_pictures.interval': 0,
            'log_level': 'ERROR',
            'visualizer': None,
            **changes,
        }
    )
    Runner.from_cfg(cfg).train()
