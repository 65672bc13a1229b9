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
    """Compares a detector's heads with the classes of the data, training with validation images, and, when testing,
    the model with the checkpoint.

    MMDetection trains boxes of a class unknown to the head as background, and uses random weights in a test for
    anything missing from the checkpoint.

    Raises:
        ValueError: A head and the data differ in their number of classes; an image or a patient is in both training and
            validation; or a checkpoint to test lacks tensors of the model. The message names them.
    """  # noqa: D205

    def before_train(self, runner: Runner) -> None:
        """Compare heads and data."""
        check_heads(bare_model(runner), len(runner.train_dataloader.dataset.metainfo['classes']))
        if runner.val_loop is not None:
            check_apart(runner.train_dataloader.dataset.ann_file, runner.val_dataloader.dataset.ann_file)

    def before_test(self, runner: Runner) -> None:
        """Compare heads and data."""
        check_heads(bare_model(runner), len(runner.test_dataloader.dataset.metainfo['classes']))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Require every tensor of the model in the checkpoint, before a test."""
        if not (runner._train_loop is None or isinstance(runner._train_loop, dict)):
            return  # training may start from a partial checkpoint
        found = checkpoint.get('state_dict', checkpoint)
        state = bare_model(runner).state_dict()
        missing = [
            name
            for name, tensor in state.items()
            if 'num_batches_tracked' not in name and getattr(found.get(name), 'shape', None) != tensor.shape
        ]
        if missing:
            raise ValueError(
                f'the checkpoint lacks {len(missing)} of {len(state)} tensors of the model, or has them in another '
                f'shape (such as {missing[0]}): pass the checkpoint trained with this config.'
            )


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
