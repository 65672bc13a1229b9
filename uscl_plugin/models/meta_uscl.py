"""Meta-USCL: the weight of each pair is learnt from what a training step with it would do to other pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.optim import SGD

from .uscl import USCL


@MODELS.register_module()
class MetaUSCL(USCL):
    """Meta-USCL (Chen et al., IEEE TMI 2022): USCL's pairs without labels, weighted by a net that is learnt with them.

    A batch has the two views of each pair, and of each video a meta pair (``AddMetaPair``). In a training step:

    1. g, the gradient of the weighted loss in the network θ, also through the weights;
    2. a virtual step θ̂ of the run's optimiser with g: only SGD's is known here;
    3. a step of Adam on the weight net, with the gradient of the meta pairs' unweighted loss at θ̂;
    4. the real step on the pairs, with new weights that are constant in it.

    One pass of the pairs serves 1 and 4; batch norm's statistics move once, and not in the virtual step. Trains in one
    process, as DistributedDataParallel knows only the last part of such a step.

    Args:
        **kwargs: Arguments of :class:`USCL`; the head is a :class:`PairWeightHead`.
    """

    def embed(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """See :meth:`USCL.embed`; meta pairs are left out."""
        return super().embed(list(inputs[:2]))

    def loss(self, inputs: Sequence[Tensor], data_samples: Sequence[DataSample]) -> dict[str, Tensor]:
        """The weighted loss of a batch, with constant weights.

        Args:
            inputs: The two views, each (N, 3, H, W), normalised; any others are left out.
            data_samples: Not used.

        Returns:
            ``loss_contrastive``, and the weights' mean ``pair_weight`` and standard deviation ``pair_weight_std``.

        Raises:
            RuntimeError: There are several processes.
        """
        if get_world_size() > 1:
            raise RuntimeError('MetaUSCL trains in one process: start it without a launcher.')
        return self._losses(*self.embed(inputs))

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Take the step described in the class.

        Args:
            data: Output of the data loader.
            optim_wrapper: A wrapper of SGD.

        Returns:
            As :meth:`loss`, with the sum ``loss``, and ``meta_ntxent``, the loss of the meta pairs after the virtual
            step.

        Raises:
            ValueError: The batch has no meta pairs, or the optimiser is another one.
        """
        with optim_wrapper.optim_context(self):
            inputs = self.data_preprocessor(data, True)['inputs']
            if len(inputs) != 4:
                raise ValueError(f'MetaUSCL takes a pair and a meta pair, got {len(inputs)} views: add AddMetaPair.')
            representation, projection = self.embed(inputs)
            loss = self.head.loss(projection, self.head.weigh(representation))
            meta_loss, gradients = self.meta_gradients(loss, inputs[2:], optim_wrapper.optimizer)
            # Here FiniteLossHook looks: nothing has changed yet.
            self.parse_losses({'loss_contrastive': loss, 'loss_meta': meta_loss})
            self.head.update_weight_net(gradients)
            losses = self._losses(representation, projection)
        total, log = self.parse_losses(losses)
        optim_wrapper.update_params(total)
        return log | {'meta_ntxent': meta_loss}

    def meta_gradients(
        self, loss: Tensor, views: Sequence[Tensor], optimizer: torch.optim.Optimizer
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Loss of the meta pairs after a virtual step, and its gradient in the weight net.

        As the step is ``θ̂ = θ - η (μ m + g + λ θ)``, and only g depends on the weight net ψ, the gradient is that of
        ``-η g · v`` with ``v = ∂ loss / ∂ θ̂``: no graph through the virtual step is needed.

        Args:
            loss: The weighted loss of the pairs, with its graph.
            views: The two views of the meta pairs, each (N, 3, H, W).
            optimizer: The run's SGD; it is not changed.

        Returns:
            Scalar, and a gradient for each parameter of the weight net.

        Raises:
            ValueError: The optimiser is not SGD, or has Nesterov's momentum, dampening or ``maximize``.
        """
        network = _Network(self.backbone, self.neck)
        theta = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        gradient = torch.autograd.grad(loss, list(theta.values()), create_graph=True)
        virtual, rates = {}, []
        for (name, weight), slope in zip(theta.items(), gradient, strict=True):
            moved, rate = _sgd_step(weight.detach(), slope.detach(), weight, optimizer)
            virtual[name] = moved.requires_grad_()
            rates.append(rate)
        buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}  # the pass moves statistics
        images = torch.cat(list(views)).contiguous(memory_format=self.memory_format)
        projection = torch.func.functional_call(network, virtual | buffers, (images,))
        meta_loss = self.head.loss_contrastive(*projection.chunk(2))
        slopes = torch.autograd.grad(meta_loss, list(virtual.values()))
        pulls = [-rate * slope for rate, slope in zip(rates, slopes, strict=True)]
        psi = list(self.head.weight_net.parameters())
        return meta_loss.detach(), torch.autograd.grad(gradient, psi, pulls, retain_graph=True)

    def _losses(self, representation: Tensor, projection: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            weights = self.head.weigh(representation)
        return {
            'loss_contrastive': self.head.loss(projection, weights),
            'pair_weight': weights.mean(),
            'pair_weight_std': weights.std(unbiased=False),
        }


class _Network(nn.Module):
    """Backbone and neck; what listens to the backbone hears only the pairs."""

    def __init__(self, backbone: nn.Module, neck: nn.Module) -> None:
        super().__init__()
        self.backbone, self.neck = backbone, neck

    def forward(self, images: Tensor) -> Tensor:
        return self.neck.forward((self.backbone.forward(images)[-1],))[0]


def _sgd_step(
    value: Tensor, gradient: Tensor, weight: nn.Parameter, optimizer: torch.optim.Optimizer
) -> tuple[Tensor, float]:
    """The value that SGD would give to a weight with this gradient, and its learning rate."""
    group: Mapping[str, Any] = next(g for g in optimizer.param_groups if any(p is weight for p in g['params']))
    if not isinstance(optimizer, SGD) or group['nesterov'] or group['dampening'] or group['maximize']:
        raise ValueError(
            f'MetaUSCL looks a step of plain SGD ahead, got {type(optimizer).__name__}: set optim_wrapper.optimizer='
            f"dict(type='SGD', lr=0.1, momentum=0.9), without nesterov, dampening and maximize."
        )
    step = gradient + group['weight_decay'] * value
    buffer = optimizer.state.get(weight, {}).get('momentum_buffer')
    if buffer is not None:
        step = step + group['momentum'] * buffer
    return value - group['lr'] * step, group['lr']
