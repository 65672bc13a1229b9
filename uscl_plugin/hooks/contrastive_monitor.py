"""Monitor the pairs of contrastive pretraining, step by step."""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from uscl_plugin.compat.backbone_io import pool
from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.measures.pair_similarity import (
    batch_conflict,
    batch_negative_similarity,
    mean_direction,
    paired_similarity,
    queue_conflict,
    spread,
)

from .batch_pairs import pairs_of
from .collapse_watch import CollapseWatch

NAMES = ('positive_similarity', 'negative_similarity', 'spread', 'similarity_conflict')
_QUEUE_VIDEOS = 'contrastive_monitor_queue_videos'  # in the message hub


class CollapseError(RuntimeError):
    """The network gives nearly the same output for every input; the message states since when."""


@HOOKS.register_module()
class ContrastiveMonitorHook(Hook):
    """Log how pretraining affects its pairs, along with the losses.

    For :class:`USCL`, :class:`UCL`, and MMPretrain's SimCLR, MoCo, MoCo v3, BYOL, SimSiam and Barlow Twins.

    ``positive_similarity`` and ``negative_similarity`` are mean cosine similarities of the projections of positive and
    negative pairs. ``spread`` shows whether the representation collapses (0) or uses all its directions (towards 1),
    see :func:`uscl_plugin.measures.pair_similarity.spread`. ``similarity_conflict`` is the fraction of negative pairs
    that come from the same video, in [0, 1]: exactly 0 with one pair per video. It is omitted if data samples have no
    ``video_id`` (list it in the ``meta_keys`` of PackInputs), or if the method has no negatives. The first batch that
    holds negatives of one video is warned about.

    In USCL, SimCLR and MoCo v3, a negative pair is two views of different items in the batch; BYOL, SimSiam and Barlow
    Twins are measured in the same way, although such pairs have no loss. In MoCo, it is a query and a key that was in
    the queue before the step. Random initial entries belong to no video and count as no conflict, as do the keys of a
    queue loaded with ``load_from``; a resumed run knows the videos in its queue.

    UCL measures its own pairs, so only ``spread`` is measured here, and ``similarity_conflict`` is omitted: negatives
    of the same video are its aim.

    Each rank measures its own batch, and the main rank logs: with several GPUs, negatives from other ranks are not
    included for USCL and SimCLR. MoCo's queue holds the keys of all ranks.

    The log line shows the values of its own step. For means over its window, as for losses, extend ``mean_pattern`` of
    the ``log_processor``: ``mean_pattern=r'.*(loss|time|data_time|grad_norm|similarity|spread).*'``.

    A persistent collapse is reported once, with its first step and the remedy; see :class:`CollapseWatch`.

    Args:
        interval: Iterations between measurements. Log lines in between repeat the last values. 0 disables the hook.
        on_collapse: 'warn', or 'stop' to end the run (in all processes).
        collapse: Settings of :class:`CollapseWatch` that differ from the defaults.

    Raises:
        ValueError: ``interval`` is negative, ``on_collapse`` is another word, or the model is none of these.
        CollapseError: The run collapsed, with ``on_collapse='stop'``.
    """

    priority = 'NORMAL'  # before LoggerHook, which reads the values in the same step

    def __init__(self, interval: int = 1, on_collapse: str = 'warn', collapse: dict | None = None) -> None:
        if interval < 0:
            raise ValueError(f'interval should be 0 (off) or above, got {interval}.')
        if on_collapse not in ('warn', 'stop'):
            raise ValueError(f"on_collapse should be 'warn' or 'stop', got {on_collapse!r}.")
        self.interval = interval
        self.on_collapse = on_collapse
        self._collapse = CollapseWatch(**(collapse or {}))
        self._handles: list[RemovableHandle] = []
        self._is_watching = False
        self._features: deque[Tensor] = deque()
        self._projections: deque[Tensor] = deque()
        self._has_warned = False
        self._queue: _Queue | None = None

    def before_train(self, runner: Runner) -> None:
        """Reject models with unknown pairs, and start listening to backbone and neck."""
        if not self.interval:
            return
        model = bare_model(runner)
        self._pairs = pairs_of(model)
        self._features, self._projections = deque(maxlen=self._pairs.calls), deque(maxlen=self._pairs.calls)
        if hasattr(model, 'queue'):
            self._queue = _Queue(runner, model)
        self._handles = [
            model.backbone.register_forward_hook(self._keep_features),
            self._pairs.module.register_forward_hook(self._keep_projections),
        ]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Listen to this step if it is to be measured; MoCo's queue is still that of earlier steps."""
        self._is_watching = self.every_n_train_iters(runner, self.interval)
        if self._queue is not None:
            self._queue.before_step(self._is_watching)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Measure the pairs of the step and pass the values to the logger."""
        videos = video_ids(data_batch)
        if self._features and self._projections:
            features, projections = torch.cat(tuple(self._features)), torch.cat(tuple(self._projections))
            values, conflict = self._measure(features, projections, videos)
            names, tensors = list(values), torch.stack(list(values.values()))
            found = dict(zip(names, tensors.tolist(), strict=True))  # one copy from the GPU, not one per value
            found |= {name: float(value) for name, value in (outputs or {}).items() if name in NAMES}
            if conflict is not None:
                found['similarity_conflict'] = conflict
            for name, value in found.items():
                runner.message_hub.update_scalar(f'train/{name}', value)
            if conflict and self._queue is None and not self._has_warned:
                self._has_warned = True
                runner.logger.warning(_conflict_warning(videos or [], conflict))
            self._report_collapse(runner, self._collapse.update(found, runner.iter + 1))
        if self._queue is not None:
            self._queue.after_step(videos)
        self._is_watching = False
        self._features.clear()
        self._projections.clear()

    def after_train(self, runner: Runner) -> None:
        """Remove the hooks from the model."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._queue = [], None

    def _report_collapse(self, runner: Runner, message: str | None) -> None:
        if self.on_collapse == 'stop':  # all ranks together, or the others would wait forever
            messages = [text for text in all_gather_object(message) if text]
            if messages:
                raise CollapseError(messages[0])
        elif message:
            runner.logger.warning(message)

    def _measure(
        self, features: Tensor, projections: Tensor, videos: list[str] | None
    ) -> tuple[dict[str, Tensor], float | None]:
        values: dict[str, Tensor] = {}
        conflict = None
        if self._queue is not None:
            values['positive_similarity'] = paired_similarity(projections, self._queue.own_keys(len(projections)))
            values['negative_similarity'] = self._queue.direction @ mean_direction(projections)
            conflict = None if videos is None else queue_conflict(videos, self._queue.videos)
        elif self._pairs.order != 'unknown':
            is_interleaved = self._pairs.order == 'interleaved'
            first, second = (projections[0::2], projections[1::2]) if is_interleaved else projections.chunk(2)
            values['positive_similarity'] = paired_similarity(first, second)
            if len(first) > 1:  # otherwise all negatives are on other ranks
                values['negative_similarity'] = batch_negative_similarity(first, second)
                conflict = batch_conflict(videos) if videos and self._pairs.negatives else None
        if len(features) > 1:
            values['spread'] = spread(features)
        return values, conflict

    def _keep_features(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        if self._is_watching and module.training and torch.is_grad_enabled():  # not during evaluation
            self._features.append(pool(_last(outputs).detach()))

    def _keep_projections(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        if self._is_watching and module.training and torch.is_grad_enabled():
            self._projections.append(_last(outputs).detach())


class _Queue:
    """MoCo's queue: its contents before a step, the keys that the step added, and the videos of all keys."""

    def __init__(self, runner: Runner, model: Any) -> None:
        self._model = model
        stored = runner.message_hub.get_info(_QUEUE_VIDEOS)  # saved in checkpoints, so that resumed runs have it
        length = model.queue.shape[1]
        self.videos: list[str | None] = stored if stored and len(stored) == length else [None] * length
        runner.message_hub.update_info(_QUEUE_VIDEOS, self.videos)  # the same list object, so updates are saved

    def before_step(self, is_measured: bool) -> None:
        self._start = int(self._model.queue_ptr)
        if is_measured:
            self.direction = self._model.queue.mean(dim=1)  # MoCo's keys have length 1

    def own_keys(self, size: int) -> Tensor:
        """(N, D), the step's keys from this rank, in batch order; the queue holds the ranks one after another."""
        start = self._start + get_rank() * size
        return self._model.queue[:, start : start + size].T

    def after_step(self, videos: list[str] | None) -> None:
        """Record the videos of the keys that the step put into the queue."""
        added = (int(self._model.queue_ptr) - self._start) % len(self.videos) or len(self.videos)
        mine: Sequence[str | None] = videos or [None] * (added // get_world_size())
        self.videos[self._start : self._start + added] = [video for part in all_gather_object(mine) for video in part]


def video_ids(data_batch: Any) -> list[str] | None:
    """The videos of a batch's N items; None if it is unknown for any item."""
    samples: Sequence = data_batch.get('data_samples') or [] if isinstance(data_batch, dict) else []
    found = [sample.get('video_id') for sample in samples]
    return found if found and None not in found else None


def _conflict_warning(videos: Sequence[str], conflict: float) -> str:
    (video, count), *_ = Counter(videos).most_common(1)
    return (
        f'video {video!r} is {count} times in one batch, so its own frames are negatives of each other ({conflict:.2%} '
        f'of all negatives are of one video): set samples_per_video=1, and use no dataset wrapper or sampler that '
        f'repeats videos, unless the method wants this (simclr, vanilla, mixed-pair).'
    )


def _last(outputs: Any) -> Tensor:
    return outputs[-1] if isinstance(outputs, list | tuple) else outputs
