"""An exported classifier in OpenVINO's format."""

import json
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np

from uscl.core.atomic_files import write_atomically
from uscl.inference.onnx_classifier import COLOR, FRAMES
from uscl.inference.sealed_model import start_session
from uscl_plugin.weights.checkpoint_error import CheckpointError

_TOLERANCE = 1e-2  # of probabilities: OpenVINO computes in single precision what Pillow computes exactly


def write_openvino(out: Path, content: bytes, facts: Mapping[str, Any]) -> str:
    """Write ``OUT.xml`` and ``OUT.bin``, compared with ONNX Runtime on noise; ``rt_info`` has the facts.

    Args:
        out: The ``.xml``.
        content: From :func:`.whole_classifier.trace_classifier`.
        facts: Plain values.

    Returns:
        A description of the check for the user.

    Raises:
        CheckpointError: OpenVINO is missing, or its probabilities differ; nothing was written.
    """
    try:
        import openvino
    except ImportError as error:
        raise CheckpointError('--to openvino needs OpenVINO: pip install openvino.') from error
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, 'model.onnx')
        source.write_bytes(content)
        model = openvino.convert_model(source)
        for key, value in facts.items():
            model.set_rt_info(json.dumps(value), ['uscl', key])
        difference = _largest_difference(openvino, model, content)
        if not difference <= _TOLERANCE:
            raise CheckpointError(f'{out}: probabilities of OpenVINO and ONNX Runtime differ by {difference:.2g}.')
        written = Path(folder, out.name)
        openvino.save_model(model, written, compress_to_fp16=False)
        for path in (written.with_suffix('.bin'), written):
            write_atomically(out.with_suffix(path.suffix), partial(copyfile, path))
    return f'checked in OpenVINO: probabilities equal to those of ONNX Runtime within {difference:.1g}'


def _largest_difference(openvino: Any, model: Any, content: bytes) -> float:
    compiled = openvino.compile_model(model, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    session, rng, found = start_session(content), np.random.default_rng(0), []
    for shape in ((1, 300, 410, 3), (1, 64, 80, 1), (1, 270, 480, 3)):
        frames = rng.integers(0, 256, shape, dtype=np.uint8)
        (wanted,) = session.run(['probabilities'], {FRAMES: frames, COLOR: np.array([False])})
        got = compiled({name.any_name: frames for name in compiled.inputs if name.any_name == FRAMES})['probabilities']
        found.append(np.abs(got - wanted).max())
    return float(max(found))
