"""Shares of residual branches on one batch."""

import torch

from uscl_plugin.measures.features import evaluating
from uscl_plugin.measures.residual_branches import BranchWatch


def branch_shares(network, images):
    with evaluating(network), torch.no_grad(), BranchWatch(network) as watch:
        network(images)
    return watch.shares()
