"""Stop at the first loss that is NaN or infinite, before it damages the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.compat.cpu_amp_wrapper import CPUAmpOptimWrapper

from .saved_step import model_tensors, not_finite, random_state, save_step


class NonFiniteError(FloatingPointError):
    """A loss or a weight is NaN or infinite; the message has the videos and the remedy."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stops the run at a NaN or infinite loss, names the videos in the batch, and saves the step for a replay.

    The loss is checked between forward and backward pass, so weights, optimiser and accumulated gradients keep the
    state of the previous step. Each process saves its batch, the model and the random state before the step in
    ``WORK_DIR/non_finite/epoch<E>_iter<I>_rank<R>.pth``, for ``tools/analysis/replay_batch.py``. With several
    processes, all of them stop, whichever has the loss. In mixed precision, non-finite gradients are left to the
    scaler.

    Infinite gradients can also damage the weights at a finite loss. The weights are therefore checked after each epoch
    and before a checkpoint is saved, so that no bad checkpoint replaces a good one.

    The hook waits for the forward pass in every step, as this package's losses do anyway, and copies everything that
    the optimiser does not train, since a forward pass may change it (batch-norm statistics, MoCo's key encoder).

    Raises:
        NonFiniteError: As described; the message names losses, epoch, iteration, videos and files.
    """

    priority = 'VERY_HIGH'  # before hooks that save or evaluate

    def __init__(self) -> None:
        self._batch: Any = None
        self._before: dict[str, Tensor] = {}
        self._random: dict[str, Any] = {}
        self._batch_idx = 0

    def before_train(self, runner: Runner) -> None:
        """Check the losses where the model adds them up, which all MMEngine models do before the optimiser."""
        model = bare_model(runner)
        parse = model.parse_losses

        def parse_and_check(losses: dict) -> tuple[Tensor, dict[str, Tensor]]:
            total, values = parse(losses)
            self._check_losses(runner, total, values)
            return total, values

        model.parse_losses = parse_and_check

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Save what the step will change: the random state, and what a forward pass writes to the model."""
        self._batch, self._batch_idx = data_batch, batch_idx
        self._random = random_state()
        changing = {
            name: tensor for name, tensor in model_tensors(bare_model(runner)).items() if not tensor.requires_grad
        }
        self._before = {name: tensor.detach().clone() for name, tensor in changing.items()}

    def after_train_epoch(self, runner: Runner) -> None:
        """Check the weights on all processes, before they are used."""
        bad = not_finite(bare_model(runner).state_dict())
        if any(all_gather_object(bool(bad))):
            raise NonFiniteError(self._weights_message(runner, bad))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save non-finite weights."""
        if bad := not_finite(checkpoint['state_dict']):
            raise NonFiniteError(self._weights_message(runner, bad))

    def after_train(self, runner: Runner) -> None:
        """Restore the model."""
        vars(bare_model(runner)).pop('parse_losses', None)
        self._batch, self._before = None, {}

    def _check_losses(self, runner: Runner, total: Tensor, values: Mapping[str, Tensor]) -> None:
        total = torch.as_tensor(total).detach()
        is_bad = (~torch.isfinite(total)).int().reshape(1)
        all_reduce(is_bad, op='max')  # all processes must stop at the same step, or the others would wait forever
        if not is_bad.item():
            return
        bad = {name: float(value.detach()) for name, value in values.items() if 'loss' in name}
        bad = {name: value for name, value in bad.items() if not torch.isfinite(torch.tensor(value))}
        mine = {
            'rank': get_rank(),
            'losses': {name: value for name, value in bad.items() if name != 'loss' or len(bad) == 1},
            'videos': batch_names(self._batch),
            'file': self._save(runner),
        }
        raise NonFiniteError(self._losses_message(runner, all_gather_object(mine)))

    def _save(self, runner: Runner) -> str:
        step = f'epoch{runner.epoch + 1}_iter{self._batch_idx + 1}_rank{get_rank()}.pth'
        path = Path(runner.work_dir) / 'non_finite' / step
        optim = runner.optim_wrapper
        amp = (
            str(getattr(optim, 'cast_dtype', None) or '').removeprefix('torch.')
            if isinstance(optim, AmpOptimWrapper | CPUAmpOptimWrapper)
            else None
        )
        facts = {
            'epoch': runner.epoch + 1,
            'iteration': self._batch_idx + 1,
            'rank': get_rank(),
            'videos': batch_names(self._batch),
            'random': self._random,
            'amp': amp,
        }
        try:
            save_step(path, self._batch, bare_model(runner), self._before, facts)
        except Exception as error:  # such as torch's RuntimeError on a full disk; still report the loss
            return f'nowhere ({error})'
        return str(path)

    def _losses_message(self, runner: Runner, ranks: list[dict]) -> str:
        losses = ', '.join(
            f'{name} = {value}' + (f' in process {rank["rank"]}' if len(ranks) > 1 else '')
            for rank in ranks
            for name, value in rank['losses'].items()
        )
        batches = '; '.join(
            (f'process {rank["rank"]}: ' if len(ranks) > 1 else '') + ', '.join(rank['videos']) for rank in ranks
        )
        weights = not_finite(dict(bare_model(runner).named_parameters()))
        spoilt = (
            f' The weights were not finite before this step ({weights[0]}): the previous step caused this.'
            if weights
            else ''
        )
        config = Path(runner.work_dir) / Path(runner.cfg.filename or 'CONFIG.py').name
        first = next((rank for rank in ranks if rank['losses']), ranks[0])
        return (
            f'{losses} at epoch {runner.epoch + 1}, step {self._batch_idx + 1}, in the batch of '
            f'{batches}.{spoilt} The step did not change the weights, and earlier checkpoints are not affected. It was '
            f'saved as {", ".join(rank["file"] for rank in ranks)}: find the cause with '
            f'python tools/analysis/replay_batch.py {config} {first["file"]}'
        )

    def _weights_message(self, runner: Runner, bad: list[str]) -> str:
        named = f'{len(bad)} tensors ({bad[0]}, …)' if bad else 'Tensors in another process'
        return (
            f'{named} of the model are not finite at epoch {runner.epoch + 1}, step {self._batch_idx + 1}, '
            f'although every loss was: a gradient was not. The last batch was {", ".join(batch_names(self._batch))}. '
            f'They were not saved: use a lower learning rate or optim_wrapper.clip_grad, and --resume.'
        )


def batch_names(data_batch: Any) -> list[str]:
    """Names of a batch's N items: their videos, otherwise their images, otherwise their dataset indices."""
    samples = (data_batch.get('data_samples') if isinstance(data_batch, dict) else None) or []
    for key in ('video_id', 'img_path', 'sample_idx'):
        found = [sample.get(key) for sample in samples]
        if found and None not in found:
            return [str(name) for name in found]
    return [f'{len(samples)} items without video_id (list it in the meta_keys of PackInputs)']
