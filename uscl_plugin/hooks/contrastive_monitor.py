"""Watch the pairs of contrastive pretraining, step by step."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.measures.pair_similarity import (
    batch_conflict,
    batch_negative_similarity,
    mean_direction,
    paired_similarity,
    queue_conflict,
    spread,
)

from .collapse_watch import CollapseWatch

NAMES = ('positive_similarity', 'negative_similarity', 'spread', 'similarity_conflict')
_QUEUE_VIDEOS = 'contrastive_monitor_queue_videos'  # in the message hub


class CollapseError(RuntimeError):
    """The network gives nearly the same for every input; the message says since when."""


@HOOKS.register_module()
class ContrastiveMonitorHook(Hook):
    """Log what a contrastive loss does to its pairs, beside the losses. For :class:`USCL`, SimCLR and MoCo.

    ``positive_similarity`` and ``negative_similarity`` are mean cosine similarities of the projections of positive and
    negative pairs. ``spread`` says whether the representation collapses (0) or uses all its directions (towards 1), see
    :func:`uscl_plugin.measures.pair_similarity.spread`. ``similarity_conflict`` is the share of negative pairs that
    come from the same video, in [0, 1]: exactly 0 with one pair a video. It is left out where data samples have no
    ``video_id`` (list it in the ``meta_keys`` of PackInputs).

    In USCL and SimCLR, a negative pair is two views of different items of the batch. In MoCo, it is a query with a key
    that was in the queue before the step; random initial entries are of no video, and count without conflict. Keys
    of a queue that came with ``load_from`` count so, too; a resumed run knows the videos of its queue.

    Each rank looks at its own batch, and the main one logs: with several GPUs, negatives of other ranks are not among
    those of USCL and SimCLR. MoCo's queue holds the keys of all ranks.

    The log line has the values of its own step. For means over its window, as losses have, extend ``mean_pattern`` of
    the ``log_processor``: ``mean_pattern=r'.*(loss|time|data_time|grad_norm|similarity|spread).*'``.

    A collapse that stays is reported once, with since when and what to do; see :class:`CollapseWatch`.

    Args:
        interval: Iterations between measurements. In lines in between, the last values are repeated. 0 turns it off.
        on_collapse: 'warn', or 'stop' to end the run (all processes of it).
        collapse: Settings of :class:`CollapseWatch`, if others than its own.

    Raises:
        ValueError: ``interval`` is negative, ``on_collapse`` is another word, or the model is none of the three.
        CollapseError: The run collapsed, with ``on_collapse='stop'``.
    """

    priority = 'NORMAL'  # ahead of LoggerHook, which reads the values in the same step

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
        self._features: Tensor | None = None
        self._projections: Tensor | None = None
        self._queue: _Queue | None = None

    def before_train(self, runner: Runner) -> None:
        """Refuse models whose pairs are not known, and start to listen to backbone and neck."""
        if not self.interval:
            return
        model = bare_model(runner)
        self._is_interleaved = _is_interleaved(model)
        if hasattr(model, 'queue'):
            self._queue = _Queue(runner, model)
        self._handles = [
            model.backbone.register_forward_hook(self._keep_features),
            model.neck.register_forward_hook(self._keep_projections),
        ]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Listen to this step if it is to be measured; MoCo's queue is still that of earlier steps."""
        self._is_watching = self.every_n_train_iters(runner, self.interval)
        if self._queue is not None:
            self._queue.before_step(self._is_watching)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Measure the pairs of the step and hand the values to the logger."""
        videos = video_ids(data_batch)
        if self._is_watching and self._features is not None and self._projections is not None:
            values, conflict = self._measure(self._features, self._projections, videos)
            names, tensors = list(values), torch.stack(list(values.values()))
            found = dict(zip(names, tensors.tolist(), strict=True))  # one copy from the GPU, not one a value
            if conflict is not None:
                found['similarity_conflict'] = conflict
            for name, value in found.items():
                runner.message_hub.update_scalar(f'train/{name}', value)
            self._report_collapse(runner, self._collapse.update(found, runner.iter + 1))
        if self._queue is not None:
            self._queue.after_step(videos)
        self._is_watching, self._features, self._projections = False, None, None

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._queue = [], None

    def _report_collapse(self, runner: Runner, message: str | None) -> None:
        if self.on_collapse == 'stop':  # together, or those that see none would wait for the others
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
        else:
            first, second = (projections[0::2], projections[1::2]) if self._is_interleaved else projections.chunk(2)
            values['positive_similarity'] = paired_similarity(first, second)
            if len(first) > 1:  # else the negatives are those of other ranks
                values['negative_similarity'] = batch_negative_similarity(first, second)
                conflict = None if videos is None else batch_conflict(videos)
        if len(features) > 1:
            values['spread'] = spread(features)
        return values, conflict

    def _keep_features(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        if self._is_watching and module.training and torch.is_grad_enabled():  # not while others evaluate
            maps = _last(outputs).detach()  # (N, C, h, w) or (N, C)
            self._features = maps.mean(dim=(2, 3)) if maps.ndim == 4 else maps

    def _keep_projections(self, module: nn.Module, inputs: tuple, outputs: Any) -> None:
        if self._is_watching and module.training and torch.is_grad_enabled():
            self._projections = _last(outputs).detach()


class _Queue:
    """MoCo's queue: what it held before a step, the keys that the step added, and the videos of all keys."""

    def __init__(self, runner: Runner, model: Any) -> None:
        self._model = model
        stored = runner.message_hub.get_info(_QUEUE_VIDEOS)  # saved with checkpoints, so that it survives a resume
        length = model.queue.shape[1]
        self.videos: list[str | None] = stored if stored and len(stored) == length else [None] * length
        runner.message_hub.update_info(_QUEUE_VIDEOS, self.videos)  # this very list: it follows the steps

    def before_step(self, is_measured: bool) -> None:
        self._start = int(self._model.queue_ptr)
        if is_measured:
            self.direction = self._model.queue.mean(dim=1)  # MoCo's keys have length 1

    def own_keys(self, size: int) -> Tensor:
        """(N, D): the step's keys of this rank, in the order of its batch; ranks follow each other in the queue."""
        start = self._start + get_rank() * size
        return self._model.queue[:, start : start + size].T

    def after_step(self, videos: list[str] | None) -> None:
        """Note whose keys the step put into the queue."""
        added = (int(self._model.queue_ptr) - self._start) % len(self.videos) or len(self.videos)
        mine: Sequence[str | None] = videos or [None] * (added // get_world_size())
        self.videos[self._start : self._start + added] = [video for part in all_gather_object(mine) for video in part]


def video_ids(data_batch: Any) -> list[str] | None:
    """The videos of a batch's N items; None if any item does not know its own."""
    samples: Sequence = data_batch.get('data_samples') or [] if isinstance(data_batch, dict) else []
    found = [sample.get('video_id') for sample in samples]
    return found if found and None not in found else None


def _is_interleaved(model: Any) -> bool:
    """Whether the projections of a batch are view 1 and 2 of item 1, of item 2, …, and not all views 1 first.

    Raises:
        ValueError: How the model makes its pairs is unknown.
    """
    from mmpretrain.models.selfsup import MoCo, SimCLR  # here: hooks are there for MMDetection, too

    from uscl_plugin.models.uscl import USCL

    if not isinstance(model, USCL | SimCLR | MoCo) or model.neck is None:
        raise ValueError(
            f'ContrastiveMonitorHook knows the pairs of USCL, SimCLR and MoCo with a neck, not those of '
            f'{type(model).__name__}: set its interval to 0.'
        )
    return isinstance(model, SimCLR)


def _last(outputs: Any) -> Tensor:
    return outputs[-1] if isinstance(outputs, list | tuple) else outputs
