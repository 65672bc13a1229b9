"""The checks of ``uscl doctor`` that run something: PyTorch, the plugin, the operations of detectors, a training."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .doctor import BROKEN, NOTE, OK, OPTIONAL, Finding

REINSTALL_TORCH = 'reinstall torch and torchvision together, of versions that belong to each other'


def check_torch() -> Iterator[Finding]:
    """PyTorch and torchvision work together; the GPUs, each with a product computed on it."""
    try:
        import torch
        from torchvision.ops import nms

        nms(torch.tensor([[0.0, 0, 1, 1]]), torch.ones(1), 0.5)  # compiled for this PyTorch?
    except Exception as error:
        yield Finding('torch', BROKEN, f'{type(error).__name__}: {str(error).splitlines()[0]}', REINSTALL_TORCH)
        return
    yield Finding('torch', OK, f'{torch.__version__}, {torch.get_num_threads()} threads')
    if not torch.cuda.is_available():
        if shutil.which('nvidia-smi'):
            built = f'CUDA {torch.version.cuda}' if torch.version.cuda else 'no CUDA'
            remedy = 'install a torch whose CUDA is at most that which `nvidia-smi` shows, or update the driver'
            yield Finding('GPU', NOTE, f'not usable: this torch is built for {built}', remedy)
        else:
            has_mps = torch.backends.mps.is_available()
            yield Finding('GPU', OK, "Apple's (mps)" if has_mps else 'none: runs on the CPU')
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            bf16 = 'bf16' if torch.cuda.is_bf16_supported() else 'no bf16'
            found = f'{facts.name}, {facts.total_memory / 2**30:.0f} GiB, {bf16}, CUDA {torch.version.cuda}'
            try:
                torch.ones(8, 8, device='cuda').matmul(torch.ones(8, 8, device='cuda')).sum().item()
            except RuntimeError as error:
                yield Finding(f'GPU {index}', BROKEN, f'{found}: {str(error).splitlines()[0]}', 'install another torch')
            else:
                yield Finding(f'GPU {index}', OK, found)


def check_plugin() -> Iterator[Finding]:
    """The plugin can be imported; its configs and the hosts' tools are there."""
    from uscl.core.shipped_files import CONFIGS, list_configs

    from .cli import load_plugin

    load_plugin()
    from .engine.host_tools import HostToolError, host_tool

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
    """NMS and RoIAlign give what they should, compiled or by the stand-in."""
    import mmcv
    import torch

    from .compat.mmcv_ops import ext  # puts the stand-in in place where it is needed

    is_stand_in = sys.modules.get('mmcv._ext') is ext
    from mmcv.ops import nms, roi_align

    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
    _, kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    pooled = roi_align(torch.full((1, 1, 8, 8), 3.0), torch.tensor([[0.0, 1, 1, 5, 5]]), (2, 2), 1.0, 0, 'avg', True)
    if kept.tolist() != [0, 2] or not torch.allclose(pooled, torch.full((1, 1, 2, 2), 3.0)):
        yield Finding('ops', BROKEN, f'NMS or RoIAlign of mmcv {mmcv.__version__} is wrong', 'reinstall mmcv')
        return
    kind = "torchvision's, as mmcv's are not compiled: works" if is_stand_in else "mmcv's, compiled"
    yield Finding('ops', OK, f'NMS and RoIAlign are {kind}')


def check_training() -> Iterator[Finding]:
    """One step of the demo config on made-up clips, by ``uscl train`` in a process of its own."""
    from uscl.data.synthetic_videos import write_synthetic_videos

    with tempfile.TemporaryDirectory() as folder:
        write_synthetic_videos(Path(folder, 'data'), videos=4, frames=4, size=64)
        options = [f'train_dataloader.dataset.data_root={folder}/data', 'train_cfg.max_epochs=1']
        options += ['model.head.num_classes=2', 'default_hooks.logger.interval=1']
        command = [sys.executable, '-m', 'uscl_command', 'train', 'uscl_resnet18_demo', '--work-dir', f'{folder}/run']
        here = str(Path(__file__).parents[1])
        environment = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, (here, os.getenv('PYTHONPATH'))))}
        began = time.perf_counter()
        run = subprocess.run(
            [*command, '--cfg-options', *options], cwd=folder, env=environment, capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
        if run.returncode:
            reason = (run.stderr.strip() or run.stdout.strip() or 'no output').splitlines()[-1]
            yield Finding('training', BROKEN, f'exit status {run.returncode}: {reason}', 'repair what is broken above')
            return
        scalars = next(Path(folder, 'run').glob('*/vis_data/scalars.json')).read_text().splitlines()
        loss = json.loads(scalars[0])['loss']
        status = OK if math.isfinite(loss) else BROKEN
        yield Finding('training', status, f'one step, loss {loss:.2f}, {seconds:.0f} s with all imports')
