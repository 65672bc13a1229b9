"""Reject a checkpoint whose classes differ from those of the data."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ClassCheckHook(Hook):
    """Compares the class names of a checkpoint with those of the data when it is loaded.

    A checkpoint without class names (a pretrained backbone) passes.

    Raises:
        ValueError: They differ in names, number or order; the message names both.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the class names."""
        trained = (checkpoint.get('meta', {}).get('dataset_meta') or {}).get('classes')
        dataset = next(
            (
                loop.dataloader.dataset
                for loop in (runner._test_loop, runner._val_loop, runner._train_loop)
                if hasattr(loop, 'dataloader')
            ),
            None,
        )
        classes = getattr(dataset, 'metainfo', {}).get('classes')
        if trained and classes and tuple(trained) != tuple(classes):
            raise ValueError(
                f'the checkpoint has the classes {", ".join(trained)}, but the data have {", ".join(classes)}: '
                f'set classes or label_map of the dataset so that they agree, in this order, or use a checkpoint '
                f'trained on these classes.'
            )
