"""An ONNX file that says what it is, and shows whether it has been changed since."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from uscl.core.digest import digest

KIND = 'uscl classifier of frames'
VERSION = 1
REMEDY = 'pass an .onnx file that `uscl export MODEL OUT --to onnx-model` wrote'


def seal(graph: bytes, properties: Mapping[str, Any]) -> bytes:
    """A serialised ONNX model with properties, as JSON, and a digest of everything, in its ``metadata_props``.

    Args:
        graph: The model; properties that other tools gave it are left out.
        properties: Name → plain value.

    Returns:
        The content of the file.
    """
    import onnx

    model = onnx.load_from_string(graph)
    del model.metadata_props[:]
    graph = model.SerializeToString()
    stored = {'kind': KIND, 'version': VERSION, 'graph_bytes': len(graph), **properties}
    texts = {name: json.dumps(value) for name, value in stored.items()}
    tail = onnx.ModelProto()
    onnx.helper.set_model_props(tail, texts | {'digest': _digest(graph, texts)})
    return graph + tail.SerializeToString()  # messages one after the other are one message


def open_sealed(path: str | Path, threads: int | None = None) -> tuple[Any, dict[str, Any]]:
    """Open a file of :func:`seal` in ONNX Runtime, on the CPU.

    Args:
        path: The file.
        threads: Number of threads; None lets ONNX Runtime choose.

    Returns:
        The session, and the properties.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: ONNX Runtime is missing or cannot read it, another program wrote it, it has been changed, or a newer
            version wrote it.
    """
    if find_spec('onnxruntime') is None:
        raise ValueError(f'{path} needs ONNX Runtime: pip install onnxruntime.')
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist: check the path of the model.')
    content = Path(path).read_bytes()
    try:
        session = start_session(content, threads)
    except Exception as error:  # it has many of its own
        reason = ' '.join(str(error).split())[:120]
        raise ValueError(f'{path} is not a model that ONNX Runtime can read ({reason}): {REMEDY}.') from error
    texts = dict(session.get_modelmeta().custom_metadata_map)
    stated = texts.pop('digest', None)
    try:
        found = {name: json.loads(text) for name, text in texts.items()}
        is_ours, length = found['kind'] == KIND, int(found['graph_bytes'])
    except (ValueError, KeyError, TypeError):
        is_ours = False
    if not is_ours:
        raise ValueError(f'{path} is not a classifier of this package: {REMEDY}.')
    if stated != _digest(content[:length], texts):
        raise ValueError(f'{path} was changed after it was exported: export it again, or copy it again.')
    if found['version'] != VERSION:
        raise ValueError(f'{path} has format {found["version"]}, and this version reads {VERSION}: export it again.')
    return session, found


def start_session(content: bytes, threads: int | None = None) -> Any:
    """An ONNX Runtime session of a model, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warnings
    if threads is not None:
        options.intra_op_num_threads = options.inter_op_num_threads = threads
    return onnxruntime.InferenceSession(content, options, providers=['CPUExecutionProvider'])


def _digest(graph: bytes, texts: Mapping[str, str]) -> str:
    return digest(graph, json.dumps(texts, sort_keys=True))
