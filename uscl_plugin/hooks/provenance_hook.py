"""Store in checkpoints what they were trained on, and resume on the same data."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import checkpoint_meta, stated
from uscl_plugin.weights.provenance import describe_run, kept_provenance


@HOOKS.register_module()
class ProvenanceHook(Hook):
    """Write the backbone's config, its input, and digests of the training data into every checkpoint.

    What the weights that a run starts from have seen counts as well. They are in ``meta['uscl']``, see
    :func:`uscl_plugin.weights.provenance.describe_run`, and exports keep them. A run resumes on the data that its
    checkpoint states; if that states none, nothing is compared.

    Args:
        data_changed: Resume on other data, with a warning.

    Raises:
        CheckpointError: The data have changed since the checkpoint was saved; the message names both.
    """

    def __init__(self, data_changed: bool = False) -> None:
        self.data_changed = data_changed
        self._facts: dict[str, Any] | None = None
        self._loaded: list[Mapping[str, Any]] = []

    def before_train(self, runner: Runner) -> None:
        """Collect them once from config and data; this reads the annotation but no frames."""
        self._facts = self._facts or describe_run(runner.cfg, runner.train_dataloader.dataset, self._loaded)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep what a checkpoint says of itself, and compare the training data with those of a resumed one."""
        self._loaded.append(checkpoint_meta(checkpoint))
        self._facts = None  # which what was loaded belongs to
        if not (runner._resume and isinstance(runner._train_loop, BaseLoop)):
            return
        known = stated(kept_provenance(checkpoint_meta(checkpoint)), 'uscl', 'data_digest')
        self.before_train(runner)
        if known is None or self._facts is None or known == self._facts['data_digest']:
            return
        folders = ', '.join(dict.fromkeys(_data_roots(runner.cfg.train_dataloader))) or 'the training data'
        what = f'{folders} has changed since {runner._load_from or "the checkpoint"} was saved'
        if not self.data_changed:
            raise CheckpointError(
                f'{what}: restore it, start a new run, or go on with the data as they are by --data-changed of uscl '
                f'train and uscl pretrain, or default_hooks.provenance.data_changed=True.'
            )
        runner.logger.warning(f'{what}, and the run goes on with the data as they are.')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add them to the checkpoint."""
        if self._facts is not None:
            checkpoint['meta']['uscl'] = self._facts


def _data_roots(settings: Any) -> Iterator[str]:
    """The data folders in the settings of a loader, also those inside wrappers."""
    if isinstance(settings, Mapping):
        if settings.get('data_root'):
            yield str(settings['data_root'])
        for value in settings.values():
            yield from _data_roots(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _data_roots(value)
