"""What any backbone takes and returns: channels of images, and features whatever it ends with."""

from collections.abc import Sequence

from torch import Tensor, nn

# Of red, green and blue in a grey level (ITU-R BT.601), as in all readers here
GREY_WEIGHTS = (0.299, 0.587, 0.114)


def input_channels(network: nn.Module) -> int:
    """Channels of the images that a network takes: those of its first convolution."""
    return next((weight.shape[1] for weight in network.parameters() if weight.ndim == 4), 3)


def pool(output: Tensor | Sequence[Tensor]) -> Tensor:
    """Pooled features (N, C) of a backbone's last output: the average of a map (N, C, h, w), or a vector as it is.

    Raises:
        ValueError: It is something else, such as tokens (N, L, C), which may or may not contain a class token.
    """
    last = output if isinstance(output, Tensor) else output[-1]
    if isinstance(last, Tensor) and last.ndim == 4:
        return last.mean(dim=(2, 3))
    if isinstance(last, Tensor) and last.ndim == 2:
        return last
    shape = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
    raise ValueError(
        f'the backbone returns {shape} for N images, not a map (N, C, h, w) or a vector (N, C): set '
        f"out_type='featmap' or 'cls_token', or type='MapTIMMBackbone' for a network of timm."
    )
