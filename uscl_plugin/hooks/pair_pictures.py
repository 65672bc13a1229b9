"""Show the network's input in TensorBoard: some pairs of a batch, as pictures."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from uscl_plugin.compat.bare_model import bare_model

from .contrastive_monitor import video_ids

NAME = 'positive_pairs'
_GAP = 4  # pixels between views


def denormalise(view: Tensor, preprocessor: Any) -> Tensor:
    """Undo the normalisation of a data preprocessor.

    Args:
        view: (N, 3, H, W), normalised, in the network's channel order.
        preprocessor: Data preprocessor with ``mean`` and ``std``, each (3, 1, 1); without them, nothing was normalised.

    Returns:
        (N, 3, H, W) uint8 on the CPU, RGB.
    """
    view = view.detach().float()
    if hasattr(preprocessor, 'mean'):
        view = view * preprocessor.std + preprocessor.mean
    # MMPretrain's preprocessor has to_rgb, MMEngine's has _channel_conversion.
    is_rgb = getattr(preprocessor, 'to_rgb', getattr(preprocessor, '_channel_conversion', False))
    return (view if is_rgb else view.flip(1)).round().clamp(0, 255).byte().cpu()


def view_sheet(views: Sequence[Tensor]) -> Tensor:
    """Lay out views: one column per item, one row per view.

    Args:
        views: V tensors (N, 3, H, W) uint8.

    Returns:
        (V · H + gaps, N · W + gaps, 3) uint8; gaps are white.
    """
    count, _, height, width = views[0].shape
    shape = (len(views) * (height + _GAP) - _GAP, count * (width + _GAP) - _GAP, 3)
    sheet = torch.full(shape, 255, dtype=torch.uint8)
    for row, view in enumerate(views):
        for column, image in enumerate(view):
            top, left = row * (height + _GAP), column * (width + _GAP)
            sheet[top : top + height, left : left + width] = image.permute(1, 2, 0)
    return sheet


@HOOKS.register_module()
class PairPictureHook(Hook):
    """Write the first pairs of an epoch's first batch as one picture, ``positive_pairs``, with view 1 above view 2.

    It shows what the model's data preprocessor passes to the network, with the normalisation undone. Nothing is drawn
    again, and the run is not affected. The log names the videos. A model with one view gets one row.

    The pictures show patient data. They are only sent to the backends listed here, by default those that write into the
    work directory, and not to a server to which a run may report its metrics.

    Args:
        interval: Epochs between pictures, besides the first epoch; 0 disables the hook.
        num_pairs: Pairs per picture.
        backends: Types of the visualizer backends that receive the picture.

    Raises:
        ValueError: ``interval`` is negative, or ``num_pairs`` is below 1.
    """

    def __init__(
        self,
        interval: int = 50,
        num_pairs: int = 4,
        backends: Sequence[str] = ('LocalVisBackend', 'TensorboardVisBackend'),
    ) -> None:
        if interval < 0:
            raise ValueError(f'interval should be 0 (off) or above, got {interval}.')
        if num_pairs < 1:
            raise ValueError(f'num_pairs should be at least 1, got {num_pairs}.')
        self.interval = interval
        self.num_pairs = num_pairs
        self.backends = tuple(backends)
        self._handle: RemovableHandle | None = None
        self._views: list[Tensor] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Listen to the data preprocessor if this step is to be shown."""
        is_due = self.interval and (runner.epoch == 0 or self.every_n_epochs(runner, self.interval))
        if batch_idx == 0 and is_due and is_main_process():
            self._handle = bare_model(runner).data_preprocessor.register_forward_hook(self._keep_views)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Write the picture."""
        if self._handle is None:
            return
        self._handle.remove()
        preprocessor = bare_model(runner).data_preprocessor
        sheet = view_sheet([denormalise(view, preprocessor) for view in self._views]).numpy()
        self._handle, self._views = None, []
        for backend in runner.visualizer._vis_backends.values():
            if type(backend).__name__ in self.backends:
                backend.add_image(NAME, sheet, step=runner.epoch + 1)
        names = ', '.join((video_ids(data_batch) or [])[: self.num_pairs])
        runner.logger.info(f'Pictures of pairs ({NAME}), epoch {runner.epoch + 1}:  {names or "videos unknown"}')

    def _keep_views(self, module: nn.Module, inputs: tuple, outputs: dict) -> None:
        views = outputs['inputs']
        self._views = [view[: self.num_pairs] for view in ([views] if isinstance(views, Tensor) else views)]
