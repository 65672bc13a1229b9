"""Train only part of a network."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from uscl_plugin.compat.bare_model import bare_model

BATCH_NORM = ('released', 'frozen')


@HOOKS.register_module()
class FreezeHook(Hook):
    """Freezes all parameters except those in given modules, in any model of any host.

    Frozen parameters get no gradients, which saves the backward pass below the first trained layer. With several GPUs,
    set ``find_unused_parameters = True`` in the config.

    Args:
        trainable: Names of modules or parameters to keep training, such as ``'backbone.layer4.1'``.
        batch_norm: How frozen batch norms use their running statistics: ``'released'`` updates them and normalises by
            batch, as the authors' code does; ``'frozen'`` keeps them and normalises with them.

    Raises:
        ValueError: A name matches no parameter, or ``batch_norm`` is another word.
    """

    def __init__(self, trainable: Sequence[str], batch_norm: str = 'released') -> None:
        if batch_norm not in BATCH_NORM:
            raise ValueError(f'batch_norm should be one of {", ".join(BATCH_NORM)}, got {batch_norm!r}.')
        self.trainable = [trainable] if isinstance(trainable, str) else list(trainable)
        self.batch_norm = batch_norm
        self._frozen_norms: list[nn.Module] = []

    def before_train(self, runner: Runner) -> None:
        """Freeze, after weights are initialised, loaded or resumed."""
        model = bare_model(runner)
        names = [name for name, _ in model.named_parameters()]
        for wanted in self.trainable:
            if not any(_is_below(name, wanted) for name in names):
                groups = sorted({'.'.join(name.split('.')[:2]) for name in names})
                raise ValueError(
                    f'FreezeHook: the model has no {wanted!r}, only {", ".join(groups)}: correct trainable.'
                )
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(any(_is_below(name, wanted) for wanted in self.trainable))
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        total = sum(parameter.numel() for parameter in model.parameters())
        self._frozen_norms = [
            module
            for module in model.modules()
            if isinstance(module, _BatchNorm) and not any(p.requires_grad for p in module.parameters(recurse=False))
        ]
        runner.logger.info(
            f'Training {", ".join(self.trainable)}: {trained:,} of {total:,} parameters; the statistics of '
            f'{len(self._frozen_norms)} frozen batch norms {"update" if self.batch_norm == "released" else "stay"}.'
        )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Put frozen batch norms back into evaluation mode, which every ``model.train()`` ends."""
        if self.batch_norm == 'frozen':
            for module in self._frozen_norms:
                module.eval()


def _is_below(name: str, module: str) -> bool:
    return name == module or name.startswith(f'{module}.')
