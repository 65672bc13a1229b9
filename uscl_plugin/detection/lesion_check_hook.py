"""Stop where a detector would silently learn or report nonsense."""

import json
from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from uscl_plugin.compat.bare_model import bare_model


@HOOKS.register_module()
class LesionCheckHook(Hook):
    """Compares a detector's heads with the classes of the data, and training with validation images.

    MMDetection trains boxes of a class unknown to the head as background.

    Raises:
        ValueError: A head and the data differ in their number of classes, or an image or a patient is in both training
            and validation. The message names them.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare heads and data."""
        check_heads(bare_model(runner), len(runner.train_dataloader.dataset.metainfo['classes']))
        if runner.val_loop is not None:
            check_apart(runner.train_dataloader.dataset.ann_file, runner.val_dataloader.dataset.ann_file)

    def before_test(self, runner: Runner) -> None:
        """Compare heads and data."""
        check_heads(bare_model(runner), len(runner.test_dataloader.dataset.metainfo['classes']))


def check_heads(model: nn.Module, num_classes: int) -> None:
    """Raise a ValueError unless every head has the data's number of classes (RPN heads have one)."""
    for name, module in model.named_modules():
        found = getattr(module, 'num_classes', None)
        if isinstance(found, int) and 'rpn' not in name and found != num_classes:
            raise ValueError(
                f'model.{name} has num_classes {found}, but the data have {num_classes} classes: set num_classes of '
                f'every head to {num_classes}.'
            )


def check_apart(train_file: str | Path, val_file: str | Path) -> None:
    """Raise a ValueError if an image or a patient is in both COCO files."""
    seen = [json.loads(Path(path).read_text(encoding='utf-8'))['images'] for path in (train_file, val_file)]
    for key, what in (('file_name', 'image'), ('patient_id', 'patient')):
        both = {image.get(key) for image in seen[0]} & {image.get(key) for image in seen[1]} - {None}
        if both:
            raise ValueError(
                f'{what} {min(both)!r} is in {train_file} and {val_file}: give both loaders the same data_root and '
                f'files of one split or fold.'
            )
