"""Store in checkpoints what they were trained on."""

from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from uscl_plugin.weights.plain_checkpoints import checkpoint_meta
from uscl_plugin.weights.provenance import describe_run


@HOOKS.register_module()
class ProvenanceHook(Hook):
    """Write the backbone's config, its input, and digests of the training data into every checkpoint.

    What the weights that a run starts from have seen counts as well. They are in ``meta['uscl']``, see
    :func:`uscl_plugin.weights.provenance.describe_run`, and exports keep them.
    """

    def __init__(self) -> None:
        self._facts: dict[str, Any] | None = None
        self._loaded: list[Mapping[str, Any]] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep what a checkpoint that the run starts from, or goes on from, says of itself."""
        self._loaded.append(checkpoint_meta(checkpoint))

    def before_train(self, runner: Runner) -> None:
        """Collect them once from config and data; this reads the annotation but no frames."""
        if is_main_process():  # the process that saves
            self._facts = describe_run(runner.cfg, runner.train_dataloader.dataset, self._loaded)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add them to the checkpoint."""
        if self._facts is not None:
            checkpoint['meta']['uscl'] = self._facts
