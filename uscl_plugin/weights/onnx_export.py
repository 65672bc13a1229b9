"""Write a backbone as ONNX, for runtimes without PyTorch."""

import inspect
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from uscl.core.atomic_files import write_atomically

from .checkpoint_error import CheckpointError
from .checkpoint_files import as_strings

STAGES = ('layer1', 'layer2', 'layer3', 'layer4')
OPSET = 17
TOLERANCE = 1e-5


class BackboneOutputs(nn.Module):
    """A torchvision ResNet without its classifier: (N, 3, H, W) → pooled (N, C), then the maps of the four stages."""

    def __init__(self, network: torchvision.models.ResNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps are (N, C/8, H/4, W/4), (N, C/4, H/8, W/8), (N, C/2, H/16, W/16), (N, C, H/32, W/32), rounded up."""
        network = self.network
        x = network.maxpool(network.relu(network.bn1(network.conv1(image))))
        maps = []
        for stage in STAGES:
            x = getattr(network, stage)(x)
            maps.append(x)
        return (x.mean((2, 3)), *maps)


def write_onnx(out: str | Path, state: Mapping[str, torch.Tensor], meta: Mapping[str, Any]) -> list[str]:
    """Write ``image`` → ``features``, ``layer1`` … ``layer4`` with dynamic batch, height and width.

    Args:
        out: The file to write.
        state: Torchvision's names to tensors.
        meta: Stored in ``metadata_props``; also provides ``architecture`` and the input.

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
    resnet = getattr(torchvision.models, meta['architecture'])()
    resnet.fc = nn.Identity()
    resnet.load_state_dict(dict(state), strict=True)
    network = BackboneOutputs(resnet.float()).eval()
    with tempfile.TemporaryDirectory() as folder:
        _trace(network, Path(folder, 'backbone.onnx'))
        model = onnx.load(Path(folder, 'backbone.onnx'))
    image, features = model.graph.input[0], model.graph.output[0]
    image.doc_string = f'float32 (N, 3, H, W), RGB of 0..255 minus {meta["mean"]}, divided by {meta["std"]}'
    features.doc_string = 'average of layer4 over height and width (N, C)'
    onnx.helper.set_model_props(model, as_strings(meta))
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    largest = _largest_error(onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider']), network)
    if not largest <= 1:
        raise CheckpointError(
            f'{out}: ONNX Runtime and PyTorch features differ ({largest:.1f} times the tolerance, {TOLERANCE}): '
            f'try another version of torch or onnxruntime.'
        )
    write_atomically(out, lambda path: path.write_bytes(content))
    return [f'checked in ONNX Runtime: all outputs equal to PyTorch within {TOLERANCE}; dynamic batch, height, width']


def _trace(network: nn.Module, path: Path) -> None:
    axes: dict[str, dict[int, str]] = {'image': {0: 'N', 2: 'H', 3: 'W'}, 'features': {0: 'N'}}
    axes |= {name: {0: 'N', 2: f'H{step}', 3: f'W{step}'} for name, step in zip(STAGES, (4, 8, 16, 32), strict=True)}
    options: dict[str, Any] = {'input_names': ['image'], 'output_names': ['features', *STAGES], 'dynamic_axes': axes}
    # The torch.export exporter arrived in torch 2.5 and takes ten times as long; all supported versions have this one.
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about the newer exporter
        torch.onnx.export(network, (torch.zeros(2, 3, 64, 64),), str(path), opset_version=OPSET, **options)


@torch.no_grad()
def _largest_error(session: Any, network: nn.Module) -> float:
    """Largest difference over all outputs for two inputs, in units of the tolerance (relative above 1)."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for shape in ((1, 3, 64, 64), (3, 3, 65, 97)):
        image = torch.randn(shape, generator=generator)
        for got, expected in zip(session.run(None, {'image': image.numpy()}), network(image), strict=True):
            errors.append((torch.from_numpy(got) - expected).abs().max() / (TOLERANCE * expected.abs().max().clamp(1)))
    return float(torch.stack(errors).max())
