"""Stop at the first loss that is no number, before it spoils the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from uscl_plugin.compat.bare_model import bare_model

from .saved_step import model_tensors, not_finite, random_state, save_step


class NonFiniteError(FloatingPointError):
    """A loss, or a weight, is NaN or infinite; the message has the videos and what to do."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Ends the run at a loss that is NaN or infinite, names the videos of the batch, and keeps the step for a replay.

    The loss is looked at between forward and backward pass, so weights, optimiser and accumulated gradients stay those
    of the step before. Each process saves ``WORK_DIR/non_finite/epoch<E>_iter<I>_rank<R>.pth`` with its batch, the
    model and the random numbers before the step, for ``tools/analysis/replay_batch.py``. With several processes, all
    end alike, whichever has the loss. In mixed precision, gradients that are not finite are left to the scaler.

    Weights can go bad at a finite loss, too, by a gradient that is infinite. They are looked at after each epoch and
    before a checkpoint is saved, so that none replaces a good one.

    It waits for the forward pass in every step, of which the losses of this package do so themselves, and copies
    whatever the optimiser does not train, as a forward pass may change it (batch-norm statistics, MoCo's key encoder).

    Raises:
        NonFiniteError: As described; names losses, epoch, iteration, videos and files.
    """

    priority = 'VERY_HIGH'  # before a hook that saves or evaluates

    def __init__(self) -> None:
        self._batch: Any = None
        self._before: dict[str, Tensor] = {}
        self._random: dict[str, Any] = {}
        self._batch_idx = 0

    def before_train(self, runner: Runner) -> None:
        """Look at the losses where the model adds them up, which all models of MMEngine do before the optimiser."""
        model = bare_model(runner)
        parse = model.parse_losses

        def parse_and_check(losses: dict) -> tuple[Tensor, dict[str, Tensor]]:
            total, values = parse(losses)
            self._check_losses(runner, total, values)
            return total, values

        model.parse_losses = parse_and_check

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep what the step will change: its random numbers, and what a forward pass writes to the model."""
        self._batch, self._batch_idx = data_batch, batch_idx
        self._random = random_state()
        changing = {
            name: tensor for name, tensor in model_tensors(bare_model(runner)).items() if not tensor.requires_grad
        }
        self._before = {name: tensor.detach().clone() for name, tensor in changing.items()}

    def after_train_epoch(self, runner: Runner) -> None:
        """Look at the weights on all processes, before anything is made of them."""
        bad = not_finite(bare_model(runner).state_dict())
        if any(all_gather_object(bool(bad))):
            raise NonFiniteError(self._weights_message(runner, bad))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite."""
        if bad := not_finite(checkpoint['state_dict']):
            raise NonFiniteError(self._weights_message(runner, bad))

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was."""
        vars(bare_model(runner)).pop('parse_losses', None)
        self._batch, self._before = None, {}

    def _check_losses(self, runner: Runner, total: Tensor, values: Mapping[str, Tensor]) -> None:
        total = torch.as_tensor(total).detach()
        is_bad = (~torch.isfinite(total)).int().reshape(1)
        all_reduce(is_bad, op='max')  # all processes stop at the same step, or those left would wait for ever
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
            if hasattr(optim, 'loss_scaler')
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
        except Exception as error:  # such as torch's RuntimeError on a full disk: nothing may hide the loss
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
            f' The weights were not finite before this step ({weights[0]}): the step before it did it.'
            if weights
            else ''
        )
        config = Path(runner.work_dir) / Path(runner.cfg.filename or 'CONFIG.py').name
        first = next((rank for rank in ranks if rank['losses']), ranks[0])
        return (
            f'{losses} at epoch {runner.epoch + 1}, step {self._batch_idx + 1} of it, for the batch of '
            f'{batches}.{spoilt} The weights were not changed by it, and checkpoints are those of before. The step is '
            f'saved as {", ".join(rank["file"] for rank in ranks)}: see where it comes from with '
            f'python tools/analysis/replay_batch.py {config} {first["file"]}'
        )

    def _weights_message(self, runner: Runner, bad: list[str]) -> str:
        named = f'{len(bad)} tensors ({bad[0]}, …)' if bad else 'Tensors of another process'
        return (
            f'{named} of the model are not finite at epoch {runner.epoch + 1}, step {self._batch_idx + 1} of it, '
            f'though every loss was: a gradient was not. The last batch was {", ".join(batch_names(self._batch))}. '
            f'Nothing was saved of it: take a lower learning rate or optim_wrapper.clip_grad, and --resume.'
        )


def batch_names(data_batch: Any) -> list[str]:
    """Which N items a batch has: their videos, or where those are not known images, or places in the dataset."""
    samples = (data_batch.get('data_samples') if isinstance(data_batch, dict) else None) or []
    for key in ('video_id', 'img_path', 'sample_idx'):
        found = [sample.get(key) for sample in samples]
        if found and None not in found:
            return [str(name) for name in found]
    return [f'{len(samples)} items without video_id (list it in the meta_keys of PackInputs)']
