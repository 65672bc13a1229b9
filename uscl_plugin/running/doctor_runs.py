"""Checks of ``uscl doctor`` that need the plugin: its hosts, the operations of detectors, a training step."""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from uscl.core.shipped_files import CONFIGS, list_configs
from uscl.data.synthetic_videos import write_synthetic_videos
from uscl.doctor import BROKEN, OK, OPTIONAL, Finding

from .host_tools import HostToolError, host_tool


def check_plugin() -> Iterator[Finding]:
    """The plugin can be imported, and its configs and the hosts' tools are present."""
    yield Finding('plugin', OK, 'can be imported')
    number = len(list_configs())
    remedy = '' if number else 'reinstall uscl_plugin'
    yield Finding('configs', OK if number else BROKEN, f'{number} in {CONFIGS}', remedy)
    for host, needed in (('mmpretrain', 'to pretrain'), ('mmdet', 'to find lesions')):
        try:
            yield Finding(host, OK, f'its tool is {host_tool(host, "train")}')
        except HostToolError as error:
            yield Finding(host, OPTIONAL, str(error).partition(': ')[0], f'{needed}: {str(error).partition(": ")[2]}')


def check_ops() -> Iterator[Finding]:
    """NMS and RoIAlign, compiled or replaced, give correct results."""
    import mmcv
    import torch

    from uscl_plugin.compat.mmcv_ops import ext  # installs the replacement if needed

    is_stand_in = sys.modules.get('mmcv._ext') is ext
    from mmcv.ops import nms, roi_align

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
    _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    pooled = roi_align(torch.full((1, 1, 8, 8), 3.0), torch.tensor([[0.0, 1, 1, 5, 5]]), (2, 2), 1.0, 0, 'avg', True)
    if kept.tolist() != [0, 2] or not torch.allclose(pooled, torch.full((1, 1, 2, 2), 3.0)):
        yield Finding('ops', BROKEN, f'NMS or RoIAlign of mmcv {mmcv.__version__} give wrong results', 'reinstall mmcv')
        return
    kind = "torchvision's, because mmcv's are not compiled: they work" if is_stand_in else "mmcv's, compiled"
    yield Finding('ops', OK, f'NMS and RoIAlign are {kind}')


def check_training() -> Iterator[Finding]:
    """One step of the demo config on synthetic clips, by ``uscl train`` in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        write_synthetic_videos(Path(folder, 'data'), videos=4, frames=4, size=64)
        options = [f'train_dataloader.dataset.data_root={folder}/data', 'train_cfg.max_epochs=1']
        options += ['model.head.num_classes=2', 'default_hooks.logger.interval=1']
        command = [sys.executable, '-m', 'uscl', 'train', 'uscl_resnet18_demo', '--work-dir', f'{folder}/run']
        here = str(Path(__file__).parents[2])
        environment = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, (here, os.getenv('PYTHONPATH'))))}
        began = time.perf_counter()
        run = subprocess.run(
            [*command, '--cfg-options', *options], cwd=folder, env=environment, capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
        if run.returncode:
            reason = (run.stderr.strip() or run.stdout.strip() or 'no output').splitlines()[-1]
            yield Finding(
                'training', BROKEN, f'exit status {run.returncode}: {reason}', 'repair the broken parts above'
            )
            return
        scalars = next(Path(folder, 'run').glob('*/vis_data/scalars.json')).read_text().splitlines()
        loss = json.loads(scalars[0])['loss']
        status = OK if math.isfinite(loss) else BROKEN
        yield Finding('training', status, f'one step, loss {loss:.2f}, {seconds:.0f} s including imports')
