"""The backbone of a pretraining config, before and after training."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import nn

from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.strict_loading import load_strictly

PREFIX = 'backbone.'


def untrained_backbone(cfg: Config, seed: int = 0) -> nn.Module:
    """The backbone of a config with random weights; weights that the config starts from are not loaded.

    Args:
        cfg: A pretraining config.
        seed: Seed of the weights. The global generator is not affected.
    """
    backbone = copy.deepcopy(dict(cfg.model.backbone))
    init = backbone.get('init_cfg') or []
    if any(step.get('type') == 'Pretrained' for step in ([init] if isinstance(init, dict) else init)):
        del backbone['init_cfg']
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = MODELS.build(backbone)
        network.init_weights()
    return network


def trained_backbone(cfg: Config, checkpoint: str | Path) -> nn.Module:
    """The backbone of a config with the weights of a checkpoint.

    Args:
        cfg: The config that the checkpoint was trained with.
        checkpoint: Path of a checkpoint; nothing in it is executed.

    Raises:
        CheckpointError: The file is not readable, or its backbone has other tensors than the config's.
    """
    network = untrained_backbone(cfg)
    content = load_plain_checkpoint(checkpoint)
    stored = content.get('state_dict', content)
    prefixed = {name.removeprefix(PREFIX): tensor for name, tensor in stored.items() if name.startswith(PREFIX)}
    state = prefixed or {name: tensor for name, tensor in stored.items() if name in network.state_dict()}
    load_strictly(network, state, checkpoint, 'pass the config that it was trained with')
    return network
