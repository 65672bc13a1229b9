"""Measure at the end of a run what its backbone uses: residual branches, and directions of its features."""

from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.measures.backbone_health import health_warning, measure_backbone

_BATCH = 32  # images per forward pass


@HOOKS.register_module()
class BackboneHealthHook(Hook):
    """Log how much of each residual stage comes from its branches, and the effective rank of the features.

    Measured after the last step, on the images of the last full batch, in evaluation mode: see
    :class:`uscl_plugin.measures.backbone_health.BackboneHealth`. The result is logged in one line, the visualizer gets
    ``health/branch_<stage>`` and ``health/effective_rank``, and a warning follows if branches are closed or the
    features have collapsed. Works for any model with a ``backbone``; the main process measures its own images.
    """

    priority = 'NORMAL'  # before LoggerHook, which closes the visualizer

    def __init__(self) -> None:
        self._handle: RemovableHandle | None = None
        self._images: Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Start listening to the backbone."""
        backbone = getattr(bare_model(runner), 'backbone', None)
        if backbone is not None and is_main_process():
            self._handle = backbone.register_forward_pre_hook(self._keep_images)

    def after_train(self, runner: Runner) -> None:
        """Measure, report, and restore the model."""
        if self._handle is None:
            return
        self._handle.remove()
        images, self._images, self._handle = self._images, None, None
        if images is not None:
            self._report(runner, images)

    def _report(self, runner: Runner, images: Tensor) -> None:
        # Use batches of equal size: the last could otherwise be a single image, whose branches have no share.
        batches = images.chunk(-(-len(images) // _BATCH))
        try:
            health = measure_backbone(bare_model(runner).backbone, batches)
        except (RuntimeError, TypeError, ValueError) as error:  # such as a backbone with more inputs
            runner.logger.warning(f'the backbone was not measured: {error}')
            return
        runner.logger.info(f'Backbone, measured on {health.num_images} training images: {health}.')
        scalars = {f'health/branch_{stage}': share for stage, share in health.branches.items()}
        if health.effective_rank is not None:
            scalars['health/effective_rank'] = health.effective_rank
        if scalars:
            runner.visualizer.add_scalars(scalars, step=runner.iter)
        if warning := health_warning(health):
            runner.logger.warning(f'backbone: {warning}')

    def _keep_images(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not (module.training and torch.is_grad_enabled() and inputs and isinstance(inputs[0], Tensor)):
            return
        if self._images is None or len(inputs[0]) >= len(self._images):  # the last batch of an epoch may be small
            self._images = inputs[0].detach()
