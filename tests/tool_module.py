"""Tools are scripts, in no package: tests load them by path."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def load_tool(path: str | Path) -> ModuleType:
    """The module of a tool, such as ``tools/predict.py``, as ``uscl`` loads it."""
    spec = importlib.util.spec_from_file_location(f'tool_{Path(path).stem}', ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
