"""Write a backbone as ONNX, for runtimes without PyTorch."""

import contextlib
import inspect
import math
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmpretrain.models import ResNet
from torch import nn

from uscl.core.atomic_files import write_atomically
from uscl_plugin.compat.backbone_io import input_channels, pool

from .checkpoint_error import CheckpointError
from .checkpoint_files import as_strings

STAGES = ('layer1', 'layer2', 'layer3', 'layer4')
OPSET = 17
TOLERANCE = 1e-5
_SHAPES = ((1, 64, 64), (3, 65, 97))  # N, H, W for the comparison


class BackboneOutputs(nn.Module):
    """A backbone (N, C, H, W) → pooled features (N, D), then maps.

    Maps are those of the four stages of a ResNet, (N, D/8, H/4, W/4) to (N, D, H/32, W/32), rounded up, or the last
    one of another backbone, if it ends with a map.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.has_stages = isinstance(network, ResNet)
        if isinstance(network, ResNet):
            network.out_indices = (0, 1, 2, 3)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features, and the maps."""
        maps = self.network(image)
        last = maps[-1]
        kept = maps if self.has_stages else maps[-1:] if last.ndim == 4 else ()
        return (pool(maps), *kept)


def write_onnx(out: str | Path, network: nn.Module, meta: Mapping[str, Any]) -> list[str]:
    """Write ``image`` → ``features`` and maps: ``layer1`` … ``layer4`` of a ResNet, or else ``map``.

    Batch, height and width are dynamic, or as much of this as the network can: the size of a vision transformer is that
    of ``meta.uscl.input``, and Swin's windows are counted for one image.

    Args:
        out: The file to write.
        network: The backbone of MMPretrain, in evaluation mode.
        meta: Stored in ``metadata_props``; also provides the input.

    Returns:
        A description of the checks for the user.

    Raises:
        CheckpointError: onnx or onnxruntime is missing, or the file's features differ from PyTorch's; nothing was
            written.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise CheckpointError(f"--to onnx needs {error.name}: pip install 'uscl_plugin[export]'.") from error
    wrapped = BackboneOutputs(deepcopy(network).float())
    wrapped.eval()
    channels, size = input_channels(network), meta['uscl']['input']['size'] or 224
    content, largest = b'', math.inf
    for what, shapes in (
        ('dynamic batch, height, width', _SHAPES),
        (f'dynamic batch, images of {size} x {size} px', [(1, size, size), (3, size, size)]),
        (f'one image of {size} x {size} px', [(1, size, size)]),
    ):
        with contextlib.suppress(Exception):  # dynamic shapes fail in many ways
            content, largest = _convert(onnxruntime, wrapped, channels, shapes)
            if largest <= 1:
                dynamic = what
                break
    if not largest <= 1:
        raise CheckpointError(
            f'{out}: ONNX Runtime and PyTorch features differ ({largest:.1f} times the tolerance, {TOLERANCE}): '
            f'try another version of torch or onnxruntime.'
        )
    model = onnx.load_from_string(content)
    image, features = model.graph.input[0], model.graph.output[0]
    kind = 'RGB' if channels == 3 else 'grey levels'
    image.doc_string = f'float32 (N, {channels}, H, W), {kind} of 0..255 minus {meta["mean"]}, divided by {meta["std"]}'
    features.doc_string = 'pooled features (N, D)'
    onnx.helper.set_model_props(model, as_strings(meta))
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    write_atomically(out, lambda path: path.write_bytes(content))
    return [f'checked in ONNX Runtime: all outputs equal to PyTorch within {TOLERANCE}; {dynamic}']


def _convert(onnxruntime: Any, network: BackboneOutputs, channels: int, shapes: Sequence) -> tuple[bytes, float]:
    """The model as bytes, dynamic where the shapes differ, and its largest error on noise of these shapes."""
    (number, *size), (other, *other_size) = shapes[0], shapes[-1]
    dynamic = {axis for axis, differs in ((0, number != other), (2, size != other_size)) if differs}
    image = torch.zeros(2 if dynamic else 1, channels, *size)
    with torch.no_grad():
        maps = network(image)[1:]
    names = list(STAGES) if network.has_stages else ['map'] * len(maps)
    axes: dict[str, dict[int, str]] = {name: {0: 'N'} for name in ('image', 'features', *names) if 0 in dynamic}
    if 2 in dynamic:
        axes['image'] |= {2: 'H', 3: 'W'}
        for name, each in zip(names, maps, strict=True):
            step = image.shape[2] // each.shape[2]
            axes[name] |= {2: f'H{step}', 3: f'W{step}'}
    content = trace(network, {'image': image}, ['features', *names], axes)
    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])
    return content, _largest_error(session, network, channels, shapes)


def trace(
    network: nn.Module, inputs: Mapping[str, torch.Tensor], outputs: Sequence[str], axes: Mapping[str, dict[int, str]]
) -> bytes:
    """A network as a serialised ONNX model.

    Args:
        network: In evaluation mode.
        inputs: Name → an example, in the order in which the network takes them.
        outputs: Names.
        axes: Input or output → number of an axis of any size → its name.
    """
    options: dict[str, Any] = {'input_names': list(inputs), 'output_names': list(outputs), 'dynamic_axes': dict(axes)}
    # The torch.export exporter arrived in torch 2.5 and takes ten times as long; all supported versions have this one.
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about the newer exporter, and values that are fixed
        path = Path(folder, 'network.onnx')
        torch.onnx.export(network, tuple(inputs.values()), str(path), opset_version=OPSET, **options)
        return path.read_bytes()


@torch.no_grad()
def _largest_error(session: Any, network: nn.Module, channels: int, shapes: Sequence[tuple[int, int, int]]) -> float:
    """Largest difference over all outputs for some inputs, in units of the tolerance (relative above 1)."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for number, *size in shapes:
        image = torch.randn(number, channels, *size, generator=generator)
        for got, expected in zip(session.run(None, {'image': image.numpy()}), network(image), strict=True):
            errors.append((torch.from_numpy(got) - expected).abs().max() / (TOLERANCE * expected.abs().max().clamp(1)))
    return float(torch.stack(errors).max())
