"""Pass the training set's facts and the epochs to a semi-supervised classifier."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from uscl_plugin.compat.bare_model import bare_model

from .consistency import ConsistencyClassifier


@HOOKS.register_module()
class TrainingSetHook(Hook):
    """Passes the size of the training set, its number of labels and the ends of epochs to the model.

    There are no settings, so a config fits any dataset. Acts before a checkpoint is saved, and after one is loaded.

    Raises:
        ValueError: The model does not use these facts, or its samples have no index of their own.
    """

    def before_train(self, runner: Runner) -> None:
        """Count the labels, and check ``sample_idx`` where it is needed."""
        model = bare_model(runner)
        dataset = runner.train_dataloader.dataset
        if not isinstance(model, ConsistencyClassifier):
            raise ValueError(
                f'TrainingSetHook is for PiModel and TemporalEnsembling, but the model is {type(model).__name__}: '
                f'remove it from the config.'
            )
        if model.keeps_samples and not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(f'{type(model).__name__} needs epochs: set train_cfg=dict(by_epoch=True, max_epochs=…).')
        num_labelled = 0
        for position in range(len(dataset)):
            info = dataset.get_data_info(position)
            num_labelled += int(info.get('gt_label', -1)) >= 0
            if model.keeps_samples and info.get('sample_idx') != position:
                raise ValueError(
                    f'sample {position} of {type(dataset).__name__} has sample_idx {info.get("sample_idx")}, but '
                    f'{type(model).__name__} needs one index for each sample: use the dataset without wrapper.'
                )
        model.start_training(len(dataset), num_labelled, runner.epoch)

    def after_train_epoch(self, runner: Runner) -> None:
        """Notify the model."""
        bare_model(runner).end_epoch()
