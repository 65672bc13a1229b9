"""Check that a pretrained backbone was loaded, and that its input matches its training."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from uscl_plugin.compat.bare_model import bare_model
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.input_metadata import INPUT_KEYS, resolve_input, stored_metadata
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.resnet_state import backbone_state


@HOOKS.register_module()
class BackboneCheckHook(Hook):
    """Counts the backbone tensors loaded by ``init_cfg=dict(type='Pretrained', …)``, and stops if any is missing.

    MMEngine only logs tensors that do not fit and then trains from random weights. If the checkpoint's metadata state
    mean, standard deviation and channel order of its input, they are compared with the model's preprocessor, too.
    Checkpoints of MMPretrain, ``export_backbone.py`` and torchvision are supported. The hook does nothing without such
    an ``init_cfg``, in a resumed run, and in a run that starts from a whole model (``load_from``), which is logged.

    Args:
        check_input: Compare mean, standard deviation and channel order.

    Raises:
        CheckpointError: Tensors were not loaded or are left over, or the input differs; the message names them.
    """

    def __init__(self, check_input: bool = True) -> None:
        self.check_input = check_input

    def before_train(self, runner: Runner) -> None:
        """Compare the initialised model with the checkpoint."""
        step = pretrained_step(runner.cfg)
        path = step.get('checkpoint')
        if path is None or runner.epoch > 0 or runner.iter > 0:
            return
        if runner._load_from:
            runner.logger.warning(f'load_from replaces the backbone from {path}, so it is not checked.')
            return
        model = bare_model(runner)
        checkpoint = load_plain_checkpoint(path)
        # As MMEngine reads it; without a prefix, an export's names are those of the network itself.
        wanted = backbone_state(checkpoint, step.get('prefix'))
        arrived = count_arrived(model.backbone, wanted)
        runner.logger.info(f'{path}: all {arrived} tensors of the backbone were loaded.')
        if self.check_input and not check_input(path, checkpoint.get('meta') or {}, model.data_preprocessor):
            runner.logger.warning(f'{path} does not state how its input was normalised: not checked.')


def pretrained_step(cfg: Config) -> dict[str, Any]:
    """How a config initialises its backbone from a checkpoint (``checkpoint``, ``prefix``); empty if it does not."""
    init = cfg.model.get('backbone', {}).get('init_cfg') or []
    steps = [init] if isinstance(init, dict) else init
    return next((step for step in steps if step.get('type') == 'Pretrained'), {})


def count_arrived(backbone: nn.Module, wanted: dict[str, torch.Tensor]) -> int:
    """Count the backbone's tensors, requiring all of them to equal those of a checkpoint.

    Raises:
        CheckpointError: A tensor is missing from the checkpoint or differs, or the checkpoint has an extra one.
    """
    state = backbone.state_dict()
    # Older files lack the counters, which batch norm only needs for a cumulative average.
    missing = [name for name in state if name not in wanted and not name.endswith('num_batches_tracked')]
    left_over = [name for name in wanted if name not in state]
    differing = [
        name
        for name, tensor in state.items()
        if name in wanted and not (tensor.shape == wanted[name].shape and torch.equal(tensor.cpu(), wanted[name]))
    ]
    if missing or left_over or differing:
        parts = [
            f'{len(names)} {kind} ({", ".join(names[:2])}{", …" if len(names) > 2 else ""})'
            for kind, names in (
                ('not in the checkpoint', missing),
                ('in the checkpoint but not in the model', left_over),
                ('not loaded', differing),
            )
            if names
        ]
        raise CheckpointError(
            f'the pretrained backbone was not loaded: of {len(state)} tensors {"; ".join(parts)}: set depth to that of '
            f"the checkpoint, and prefix='backbone.' in init_cfg unless its names are torchvision's."
        )
    return len(state)


def check_input(path: str, meta: dict, preprocessor: Any) -> bool:
    """Compare a model's preprocessor with the input stated in a checkpoint.

    Returns:
        Whether the checkpoint states its input; otherwise nothing is compared.

    Raises:
        CheckpointError: They differ; the message has both.
    """
    stored = stored_metadata(meta)
    if any(key not in stored for key in INPUT_KEYS) or not hasattr(preprocessor, 'mean'):
        return False
    wanted = resolve_input(path, stored, {})
    # MMPretrain's preprocessor has to_rgb, MMEngine's (and MMDetection's) has _channel_conversion.
    to_rgb = getattr(preprocessor, 'to_rgb', getattr(preprocessor, '_channel_conversion', False))
    found = {
        'mean': [float(value) for value in preprocessor.mean.flatten()],
        'std': [float(value) for value in preprocessor.std.flatten()],
        'channel_order': 'rgb' if to_rgb else 'bgr',
    }
    for key in INPUT_KEYS:
        same = (
            found[key] == wanted[key]
            if key == 'channel_order'
            else torch.allclose(torch.tensor(found[key]), torch.tensor(wanted[key]), rtol=1e-4)
        )
        if not same:
            raise CheckpointError(
                f'{path} was trained with {key} {wanted[key]}, but the model normalises with {found[key]}: set '
                f'data_preprocessor to mean={wanted["mean"]}, std={wanted["std"]} and '
                f'{"RGB" if wanted["channel_order"] == "rgb" else "BGR"} order.'
            )
    return True
