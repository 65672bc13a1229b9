"""The machine that made the results: its device and package versions."""

import platform
from typing import Any

import mmengine
import mmpretrain
import numpy as np
import sklearn
import torch
import torchvision

from uscl.version import __version__


def machine_facts() -> dict[str, Any]:
    """``device`` (its name) and ``versions`` (package → version), to store with results."""
    cpu = f'CPU, {torch.get_num_threads()} threads'
    versions = {'uscl_plugin': __version__, 'python': platform.python_version()}
    versions |= {package.__name__: package.__version__ for package in (mmpretrain, mmengine, torch, torchvision)}
    versions |= {'numpy': np.__version__, 'scikit-learn': sklearn.__version__}
    return {'device': torch.cuda.get_device_name() if torch.cuda.is_available() else cpu, 'versions': versions}
