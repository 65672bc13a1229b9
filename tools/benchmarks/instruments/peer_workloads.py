"""The pretraining code that is timed side by side: each one's own loop, augmentations, loss and optimiser."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from .workload import Workload


@dataclass(frozen=True, kw_only=True)
class PeerSettings:
    """What all peers have in common; each reads the copy of the frames in its format.

    Attributes:
        data: Folder written by a converter.
        frames: Folder with the same frames as image files, one subfolder per video.
        size: Side length of a view in pixels.
        batch_size: Pairs per batch.
        workers: Number of loading processes.
        config: Config of ours.
        released: Clone of the authors' code; None without it.
    """

    data: str
    frames: str
    size: int
    batch_size: int
    workers: int
    config: str
    released: str | None = None


def build_peer(name: str, settings: PeerSettings) -> Workload:
    """Build one of :data:`PEERS` on the GPU, if there is one, and import only what it needs.

    Raises:
        ImportError: It is not installed.
    """
    return PEERS[name][0](settings, torch.device('cuda' if torch.cuda.is_available() else 'cpu'))


def peer_versions(name: str) -> dict[str, str]:
    """Installed versions of what a peer consists of, by distribution."""
    found = {}
    for distribution in ('torch', 'torchvision', *PEERS[name][1]):
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def _ours(settings: PeerSettings, device: torch.device) -> Workload:
    from .config_workload import benchmark_config

    cfg = benchmark_config(settings.config, settings.data, settings.size, settings.batch_size, settings.workers)
    return _of_config(cfg, 'ours', device)


def _mmpretrain(settings: PeerSettings, device: torch.device) -> Workload:
    """MMPretrain's config of SimCLR with a ResNet-18, on image files, without synchronised batch norm."""
    from mmengine.hub import get_config

    from uscl_plugin.datasets.pipeline_settings import set_input_size

    cfg = get_config('mmpretrain::simclr/simclr_resnet50_8xb32-coslr-200e_in1k.py')
    cfg.model.backbone.update(depth=18, norm_cfg={'type': 'BN'})
    cfg.model.neck.update(in_channels=512, hid_channels=512, norm_cfg={'type': 'BN1d'})
    cfg.model.data_preprocessor = {'type': 'SelfSupDataPreprocessor', **cfg.data_preprocessor}
    workers = {'num_workers': settings.workers, 'persistent_workers': settings.workers > 0}
    dataset = {'type': 'CustomDataset', 'data_root': settings.frames}
    cfg.train_dataloader.dataset = dataset | {'pipeline': cfg.train_dataloader.dataset.pipeline}
    cfg.train_dataloader.update(batch_size=settings.batch_size, **workers)
    set_input_size(cfg.train_dataloader.dataset, settings.size)
    return _of_config(cfg, 'mmpretrain', device)


def _of_config(cfg: Config, name: str, device: torch.device) -> Workload:
    from .config_workload import ConfigWorkload

    init_default_scope('mmpretrain')
    return ConfigWorkload(cfg, name, device)


def _released(settings: PeerSettings, device: torch.device) -> Workload:
    from .released_code import import_released
    from .released_workload import ReleasedWorkload

    code, frames = import_released(settings.released or ''), Path(settings.frames)
    return ReleasedWorkload(code, frames, settings.size, settings.batch_size, device, settings.workers)


def _lightly(settings: PeerSettings, device: torch.device) -> Workload:
    from .lightly_workload import LightlyWorkload

    return LightlyWorkload(Path(settings.frames), settings.size, settings.batch_size, settings.workers, device)


def _stable_pretraining(settings: PeerSettings, device: torch.device) -> Workload:
    from .stable_pretraining_workload import StablePretrainingWorkload

    frames = Path(settings.frames)
    return StablePretrainingWorkload(frames, settings.size, settings.batch_size, settings.workers, device)


# Name → how it is built, and the distributions that it consists of besides torch.
PEERS: dict[str, tuple[Callable[[PeerSettings, torch.device], Workload], tuple[str, ...]]] = {
    'ours': (_ours, ('onedl-mmpretrain', 'mmpretrain')),
    'released': (_released, ()),
    'lightly': (_lightly, ('lightly',)),
    'mmpretrain': (_mmpretrain, ('onedl-mmpretrain', 'mmpretrain')),
    'stable_pretraining': (_stable_pretraining, ('stable-pretraining', 'lightning')),
}
