"""Monitor a pretraining run on videos that it does not train on."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, FUNCTIONS, HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader, SequentialSampler

from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.datasets.pair_batch_sampler import PairBatchSampler

BETTER = {'contrastive': min, 'auroc': max, 'gap': max, 'retrieval': max}


@HOOKS.register_module()
class HeldOutHook(Hook):
    """Report contrastive loss and cluster cohesion on held-out videos. Disabled unless ``data_root`` is set.

    Logged as ``held_out/contrastive`` (NT-Xent of the same pairs every time), and on the videos' frames, the last
    quarter of each being queries: ``held_out/gap`` (mean cosine similarity within minus between videos),
    ``held_out/auroc`` and ``held_out/retrieval`` (see :class:`uscl.stats.cohesion.Cohesion`).

    Args:
        data_root: Folder written by a converter; usually that of the training data.
        split: Split to use; None for all videos.
        interval: Epochs between reports; the last epoch is always reported.
        save_best: False, or one of the four names above, to keep the best epoch so far in ``best_held_out_<name>.pth``.

    Raises:
        ValueError: ``save_best`` is another name, or the model is not :class:`USCL`, whose pairs are known.
    """

    def __init__(
        self, data_root: str | None = None, split: str | None = 'val', interval: int = 5, save_best: str | bool = False
    ) -> None:
        if save_best and save_best not in BETTER:
            raise ValueError(f'save_best should be False or one of {sorted(BETTER)}, got {save_best!r}.')
        self.data_root = data_root
        self.split = split
        self.interval = interval
        self.save_best = save_best

    def before_train(self, runner: Runner) -> None:
        """Read the held-out data now, so that a wrong path stops the run before its first epoch."""
        if self.data_root is None:
            return
        from uscl_plugin.datasets.frame_set import collect_frames, dataset_config
        from uscl_plugin.models.uscl import USCL

        if not isinstance(model := bare_model(runner), USCL):
            raise ValueError(f'HeldOutHook supports only USCL, not {type(model).__name__}: set its data_root to None.')

        split = 'all' if self.split is None else self.split
        self._frames = collect_frames(runner.cfg, self.data_root, split)
        config = dataset_config(runner.cfg, self.data_root, split)
        self._dataset = DATASETS.build(config, default_args=dict(_scope_='mmpretrain'))
        self._dataset.set_epoch(0, run_seed=0)
        self._collate = _collate_function(runner.cfg.train_dataloader)
        if len(self._dataset) < 2:
            raise ValueError(
                f'HeldOutHook: split {split!r} of {self.data_root} has {len(self._dataset)} video, but one pair has '
                f'no negatives: hold out more videos, or set data_root=None to train without held-out reports.'
            )

    def after_train_epoch(self, runner: Runner) -> None:
        """Report at the interval and after the last epoch."""
        if self.data_root is None:
            return
        is_last = runner.epoch + 1 == runner.max_epochs
        if is_last or self.every_n_epochs(runner, self.interval):
            self._report(runner)

    @master_only
    def _report(self, runner: Runner) -> None:
        from uscl_plugin.datasets.pipeline_settings import color_type
        from uscl_plugin.measures.features import evaluating
        from uscl_plugin.measures.representation import evaluate_backbone

        model = bare_model(runner)
        color = color_type(runner.cfg.train_dataloader.dataset)
        with evaluating(model):
            found = evaluate_backbone(model.backbone, self._frames.read(color), self._frames, runner.cfg).cohesion
            values = {
                'contrastive': self._contrastive(model, runner.cfg.train_dataloader.batch_size),
                'gap': found.gap,
                'auroc': found.auroc,
                'retrieval': found.retrieval,
            }
        epoch = runner.epoch + 1
        runner.visualizer.add_scalars({f'held_out/{name}': value for name, value in values.items()}, step=epoch)
        text = '  '.join(f'{name}: {value:.4f}' for name, value in values.items())
        runner.logger.info(f'Held out, epoch {epoch}, {len(self._dataset)} videos:  {text}')
        if self.save_best:
            self._keep_best(runner, values[self.save_best])

    def _contrastive(self, model: Any, batch_size: int) -> float:
        from uscl_plugin.models.losses import LightlyNTXentLoss

        # Only this rank computes, so nothing may be gathered from others.
        loss = LightlyNTXentLoss(model.head.loss_contrastive.temperature, gather_distributed=False)
        sampler = PairBatchSampler(SequentialSampler(self._dataset), batch_size)
        total, count = 0.0, 0
        for batch in DataLoader(self._dataset, batch_sampler=sampler, collate_fn=self._collate):
            with torch.inference_mode():
                views = model.data_preprocessor(batch)['inputs']
                _, projection = model.embed(views)
                total += loss(*projection.chunk(2)).item() * len(views[0])
            count += len(views[0])
        return total / count

    def _keep_best(self, runner: Runner, value: float) -> None:
        best = runner.message_hub.get_info('held_out_best')  # saved in checkpoints, so that resumed runs have it
        if best is not None and BETTER[str(self.save_best)](value, best) != value:
            return
        runner.message_hub.update_info('held_out_best', value)
        name = f'best_held_out_{self.save_best}.pth'
        runner.save_checkpoint(runner.work_dir, name, by_epoch=True, backend_args=dict(backend='atomic'))


def _collate_function(loader: dict) -> Callable[[Sequence], Any]:
    """The collate function in a data loader's config; views that are tensors need stacking if none is given."""
    settings = dict(loader.get('collate_fn') or {'type': 'default_collate'})
    kind = settings.pop('type')
    return partial(FUNCTIONS.get(kind) if isinstance(kind, str) else kind, **settings)
