"""Lightly's SimCLR on image files: the loop of its documentation, docs.lightly.ai, "SimCLR", PyTorch example."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torchvision
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from torch import nn

from .workload import DatasetWorkload


class LightlyWorkload(DatasetWorkload):
    """Two passes through torchvision's ResNet-18, SGD, no schedule; transforms and loss with their defaults.

    Args:
        frames: Folder of folders of image files.
        size: Side length of a view in pixels.
        batch_size: Images per batch.
        workers: Number of loading processes.
        device: Device of the network.
    """

    name = 'lightly'

    def __init__(self, frames: Path, size: int, batch_size: int, workers: int, device: torch.device) -> None:
        dataset = LightlyDataset(str(frames), transform=SimCLRTransform(input_size=size))
        super().__init__(dataset, batch_size, workers, device)
        resnet = torchvision.models.resnet18()
        backbone = nn.Sequential(*list(resnet.children())[:-1], nn.Flatten())
        self._model = nn.Sequential(backbone, SimCLRProjectionHead(512, 512, 128)).to(device)
        self._criterion = NTXentLoss()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.06)

    def prepare(self, batch: Any) -> Any:
        """Move the views to the device, as the loop does."""
        views, *others = batch
        return [[view.to(self.device) for view in views], *others]

    def train(self, batches: Iterable[Any]) -> None:
        """The example's loop for one epoch."""
        total = torch.zeros((), device=self.device)
        for batch in batches:
            first, second = self.prepare(batch)[0]
            loss = self._criterion(self._model(first), self._model(second))
            total += loss.detach()
            loss.backward()
            self._optimizer.step()
            self._optimizer.zero_grad()
