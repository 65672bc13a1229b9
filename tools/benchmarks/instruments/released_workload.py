"""Time the authors' released code: its dataset, augmentations, model, loss and training loop, unchanged."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import cv2
import torch

from uscl.data.video_folder import VideoFolder

from .released_code import ReleasedCode, quiet
from .workload import DatasetWorkload

JPEG_QUALITY = 95
# Unavoidable changes, for reports. Everything else runs as released.
ADAPTED = (
    f'frames: JPEG files (quality {JPEG_QUALITY}) with the pixels and size of ours, one folder per video',
    "labels: all 0 (the code reads them from columns 35 to 38 of its authors' paths)",
    'order of videos: as many full batches as timed, instead of epochs over 80 % of the videos',
    "epochs of one loop: 1; no validation, no saved checkpoint (the code writes to its authors' home folder)",
    'printed lines are dropped',
)


class ReleasedWorkload(DatasetWorkload):
    """The released code on the same videos.

    Args:
        code: See :func:`.released_code.import_released`.
        frames: Folder with one subfolder of frames per video, see :func:`write_jpeg_folders`.
        size: Side length of a view in pixels.
        batch_size: Videos per batch.
        device: Device of the network; the code uses a CUDA device if there is one.
        workers: Number of loading processes; None takes its config's.
    """

    name = 'released'

    def __init__(
        self,
        code: ReleasedCode,
        frames: Path,
        size: int,
        batch_size: int,
        device: torch.device,
        workers: int | None = None,
    ) -> None:
        self._code = code
        settings = code.config['dataset'] | {'input_shape': f'({size},{size},3)'}  # the code evaluates a string
        wrapper = code.data.DataSetWrapper(batch_size, [], [], 0, **settings)
        transform = code.data.SimCLRDataTransform(wrapper._get_simclr_pipeline_transform())
        videos = range(sum(folder.is_dir() for folder in frames.iterdir()))
        dataset = code.data.USDataset_video(str(frames), transform=transform, LabelList=videos, DataList=list(videos))
        dataset.label_name = defaultdict(int)
        super().__init__(dataset, batch_size, settings['num_workers'] if workers is None else workers, device)
        self._config = code.config | {'batch_size': batch_size, 'epochs': 1}

    @property
    def precision(self) -> str:
        """Precision of its loop: half precision needs apex; without it, it uses single precision."""
        has_apex = self._code.simclr.apex_support and self._config['fp16_precision']
        return 'apex O2' if has_apex else 'float32'

    def prepare(self, batch: Any) -> Any:
        """Move the views to the device, as the loop does."""
        first, first_label, second, second_label, *frames = batch
        return [first.to(self.device), first_label, second.to(self.device), second_label, *frames]

    def train(self, batches: Iterable[Any]) -> None:
        """Run the authors' own ``SimCLR.train`` on the batches for one epoch, with a new model."""
        simclr: Any = self._code.simclr

        class Training(simclr.SimCLR):
            def _validate(self, model: Any, valid_loader: Any) -> float:
                return math.inf  # never an improvement, so nothing is saved

        class Data:
            @staticmethod
            def get_data_loaders() -> tuple[Any, list]:
                return batches, []

        save, simclr._save_config_file = simclr._save_config_file, lambda folder: None
        try:
            with quiet():
                Training(Data, self._config, 0.2, 0).train()  # λ = 0.2, the default
        finally:
            simclr._save_config_file = save

    def train_prepared(self, batches: Iterable[Any]) -> None:
        """The same loop: data already on the device stay there."""
        self.train(batches)


def write_jpeg_folders(data_root: str | Path, video_ids: Collection[str], out: Path) -> Path:
    """Write the frames of a data folder as the released code reads them: ``OUT/VIDEO/000000.jpg``.

    Args:
        data_root: Folder written by a converter.
        video_ids: The videos to write.
        out: Folder to create.

    Returns:
        The folder.
    """
    wanted, videos = set(video_ids), VideoFolder(data_root)
    chosen = [index for index, entry in enumerate(videos.entries) if entry['video_id'] in wanted]
    for number, index in enumerate(chosen):
        folder = out / f'video_{number:05d}'
        folder.mkdir(parents=True)
        for k, image in enumerate(videos[index]['frames']):
            _, encoded = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (folder / f'{k:06d}.jpg').write_bytes(encoded.tobytes())
    return out
