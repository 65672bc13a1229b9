"""Monitor a pretraining run on videos that it does not train on."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, FUNCTIONS, HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader, SequentialSampler

from uscl.stats.cohesion import normalise
from uscl.stats.effective_rank import effective_rank
from uscl.stats.neighbour_vote import neighbour_vote
from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.datasets.pair_batch_sampler import PairBatchSampler

if TYPE_CHECKING:
    from uscl_plugin.datasets.frame_set import FrameSet

BETTER = {'contrastive': min, 'auroc': max, 'effective_rank': max, 'gap': max, 'knn': max, 'retrieval': max}


@HOOKS.register_module()
class HeldOutHook(Hook):
    """Report contrastive loss and cluster cohesion on held-out videos. Disabled unless ``data_root`` is set.

    Logged on the frames of the videos, the last quarter of each being queries: ``held_out/gap`` (mean cosine similarity
    within minus between videos), ``held_out/auroc`` and ``held_out/retrieval`` (see
    :class:`uscl.stats.cohesion.Cohesion`), ``held_out/effective_rank`` (see
    :func:`uscl.stats.effective_rank.effective_rank`). ``held_out/knn`` is the balanced accuracy of a vote of the
    nearest videos of other patients (see :func:`uscl.stats.neighbour_vote.neighbour_vote`), if at least two classes
    have two patients each. For :class:`USCL` also ``held_out/contrastive``: NT-Xent of the same pairs every time.

    Args:
        data_root: Folder written by a converter; usually that of the training data.
        split: Split to use; None for all videos.
        interval: Epochs between reports; the last epoch is always reported.
        save_best: False, or one of the names above, to keep the best epoch so far in ``best_held_out_<name>.pth``.
        frames_per_video: Measure at most this many frames of each video, evenly spaced; None for all.

    Raises:
        ValueError: ``save_best`` is another name, or is not measured with this model and data.
    """

    def __init__(
        self,
        data_root: str | None = None,
        split: str | None = 'val',
        interval: int = 5,
        save_best: str | bool = False,
        frames_per_video: int | None = None,
    ) -> None:
        if save_best and save_best not in BETTER:
            raise ValueError(f'save_best should be False or one of {sorted(BETTER)}, got {save_best!r}.')
        self.data_root = data_root
        self.split = split
        self.interval = interval
        self.save_best = save_best
        self.frames_per_video = frames_per_video

    def before_train(self, runner: Runner) -> None:
        """Read the held-out data now, so that a wrong path stops the run before its first epoch."""
        if self.data_root is None:
            return
        from uscl_plugin.datasets.frame_set import collect_frames, dataset_config
        from uscl_plugin.models.uscl import USCL

        split = 'all' if self.split is None else self.split
        self._frames = collect_frames(runner.cfg, self.data_root, split).thinned(self.frames_per_video)
        self._pairs = None
        if isinstance(bare_model(runner), USCL):  # the pairs of other methods are not known
            config = dataset_config(runner.cfg, self.data_root, split)
            self._pairs = DATASETS.build(config, default_args=dict(_scope_='mmpretrain'))
            self._pairs.set_epoch(0, run_seed=0)
            self._collate = _collate_function(runner.cfg.train_dataloader)
        if (videos := len(self._frames.video_ids)) < 2:
            raise ValueError(
                f'HeldOutHook: split {split!r} of {self.data_root} has {videos} video, which can be compared with no '
                f'other: hold out more videos, or set data_root=None to train without held-out reports.'
            )
        if self.save_best == 'contrastive' and self._pairs is None:
            raise ValueError(f"save_best='contrastive' is only measured for USCL: set another of {sorted(BETTER)}.")

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

        model, found = bare_model(runner), self._frames
        color = color_type(runner.cfg.train_dataloader.dataset)
        with evaluating(model):
            measured = evaluate_backbone(model.backbone, found.read(color), found, runner.cfg)
            values = {
                'gap': measured.cohesion.gap,
                'auroc': measured.cohesion.auroc,
                'retrieval': measured.cohesion.retrieval,
                'effective_rank': effective_rank(measured.features),
                'knn': _vote(measured.features, found),
            }
            if self._pairs is not None:
                batch_size = runner.cfg.train_dataloader.batch_size
                values['contrastive'] = self._contrastive(model, self._pairs, batch_size)
        values = {name: value for name, value in values.items() if not math.isnan(value)}
        epoch = runner.epoch + 1
        runner.visualizer.add_scalars({f'held_out/{name}': value for name, value in values.items()}, step=epoch)
        runner.message_hub.update_info('held_out', values)  # for whoever shows the run
        text = '  '.join(f'{name}: {value:.4f}' for name, value in values.items())
        runner.logger.info(f'Held out, epoch {epoch}, {len(found.video_ids)} videos:  {text}')
        if self.save_best:
            self._keep_best(runner, str(self.save_best), values)

    def _contrastive(self, model: Any, pairs: Any, batch_size: int) -> float:
        from uscl_plugin.models.losses import LightlyNTXentLoss

        # Only this rank computes, so nothing may be gathered from others.
        loss = LightlyNTXentLoss(model.head.loss_contrastive.temperature, gather_distributed=False)
        sampler = PairBatchSampler(SequentialSampler(pairs), batch_size)
        total, count = 0.0, 0
        for batch in DataLoader(pairs, batch_sampler=sampler, collate_fn=self._collate):
            with torch.inference_mode():
                views = model.data_preprocessor(batch)['inputs']
                _, projection = model.embed(views)
                total += loss(*projection.chunk(2)).item() * len(views[0])
            count += len(views[0])
        return total / count

    def _keep_best(self, runner: Runner, measure: str, values: Mapping[str, float]) -> None:
        if measure not in values:
            raise ValueError(f'save_best={measure!r} cannot be measured on these videos, only {sorted(values)}.')
        value = values[measure]
        best = runner.message_hub.get_info('held_out_best')  # saved in checkpoints, so that resumed runs have it
        if best is not None and BETTER[measure](value, best) != value:
            return
        runner.message_hub.update_info('held_out_best', value)
        name = f'best_held_out_{measure}.pth'
        runner.save_checkpoint(runner.work_dir, name, by_epoch=True, backend_args=dict(backend='atomic'))


def _vote(features: np.ndarray, found: 'FrameSet') -> float:
    """:func:`neighbour_vote` of whole videos, each the mean of its frames' directions; NaN without classes."""
    videos = range(len(found.video_ids))
    directions = normalise(np.asarray(features, dtype=np.float64))
    means = np.stack([directions[found.video == video].mean(axis=0) for video in videos])
    known = sorted({name for name in found.classes if name is not None})
    labels = np.array([-1 if name is None else known.index(name) for name in found.classes])
    # An unknown patient is one of its own.
    groups = [
        found.video_ids[k] if patient is None else ('patient', patient) for k, patient in enumerate(found.patients)
    ]
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    return neighbour_vote(means, labels, np.array([places[group] for group in groups]))


def _collate_function(loader: dict) -> Callable[[Sequence], Any]:
    """The collate function in a data loader's config; views that are tensors need stacking if none is given."""
    settings = dict(loader.get('collate_fn') or {'type': 'default_collate'})
    kind = settings.pop('type')
    return partial(FUNCTIONS.get(kind) if isinstance(kind, str) else kind, **settings)
