"""stable-pretraining's SimCLR on image files, after ``benchmarks/cifar10/simclr-resnet18.py`` in its repository.

Without its online probes, loggers and half precision, and with torchvision's ResNet-18 as it is.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning
import stable_pretraining as spt
import torch
from stable_pretraining import forward
from stable_pretraining.data import transforms
from torch import nn
from torchvision.datasets import ImageFolder

from .workload import DatasetWorkload


class KeptIterator(lightning.Callback):
    """Batches whose iterator is asked once more after the last step: the trainer counts, and leaves it unfinished.

    Args:
        batches: Batches with a length.
    """

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        self.iterator = iter(self.batches)
        return self.iterator

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Ask once more."""
        next(self.iterator, None)


class StablePretrainingWorkload(DatasetWorkload):
    """Its module, transforms, loss and LARS in Lightning's trainer; each pass is an epoch of a new trainer.

    Args:
        frames: Folder of folders of image files.
        size: Side length of a view in pixels.
        batch_size: Images per batch.
        workers: Number of loading processes.
        device: Device of the network.
    """

    name = 'stable_pretraining'

    def __init__(self, frames: Path, size: int, batch_size: int, workers: int, device: torch.device) -> None:
        view = transforms.Compose(
            transforms.RGB(),
            transforms.RandomResizedCrop((size, size)),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToImage(mean=[0.5] * 3, std=[0.25] * 3),
        )
        both = transforms.MultiViewTransform([view, view])
        images = spt.data.FromTorchDataset(ImageFolder(str(frames)), names=['image', 'label'], transform=both)
        super().__init__(images, batch_size, workers, device)
        backbone = spt.backbone.from_torchvision('resnet18')
        backbone.fc = nn.Identity()
        hidden = [nn.Linear(512, 2048), nn.BatchNorm1d(2048), nn.ReLU(inplace=True)]
        hidden += [nn.Linear(2048, 2048), nn.BatchNorm1d(2048), nn.ReLU(inplace=True)]
        self._module = spt.Module(
            backbone=backbone,
            projector=nn.Sequential(*hidden, nn.Linear(2048, 256)),
            forward=forward.simclr,
            simclr_loss=spt.losses.NTXEntLoss(temperature=0.5),
            optim={
                'optimizer': {'type': 'LARS', 'lr': 5, 'weight_decay': 1e-6},
                'scheduler': {'type': 'ConstantLR'},  # theirs needs more epochs than one
                'interval': 'epoch',
            },
        )

    def prepare(self, batch: Any) -> Any:
        """Move the views to the device, as the trainer does."""
        views = [{name: value.to(self.device) for name, value in view.items()} for view in batch['views']]
        return {**batch, 'views': views}

    def train(self, batches: Iterable[Any]) -> None:
        """One epoch of its trainer."""
        kept = KeptIterator(batches)
        trainer = lightning.Trainer(
            max_epochs=1,
            callbacks=[kept],
            accelerator='gpu' if self.device.type == 'cuda' else 'cpu',
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(self._module, train_dataloaders=kept)
