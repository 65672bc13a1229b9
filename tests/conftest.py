"""Fixtures shared by all tests: a small synthetic dataset, and where real data lie."""

import functools
import gc
import io
import logging
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import mmengine.config.utils
import mmengine.dataset.base_dataset
import numpy as np
import pytest
import torch
import yapf.yapflib.yapf_api
from hypothesis import settings
from matplotlib.figure import Figure
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from PIL import Image
from tested_versions import pytest_addoption, pytest_terminal_summary  # noqa: F401 (hooks)
from threadpoolctl import threadpool_limits

from uscl.data.folder_writer import write_data_folder

# The networks of the tests are too small to share, and waiting threads cost as much as working ones.
torch.set_num_threads(1)
os.environ['OMP_NUM_THREADS'] = '1'  # of the processes that tests start
os.environ['USCL_CACHE'] = ''  # nothing is left to another test
LOADING = {
    f'TORCH_FORCE_{which}_LOAD': os.environ.get(f'TORCH_FORCE_{which}_LOAD')
    for which in ('WEIGHTS_ONLY', 'NO_WEIGHTS_ONLY')
}
# Those that a test starts with the method 'forkserver' find everything imported.
multiprocessing.set_forkserver_preload(['uscl_plugin'])
# MMEngine lays out a config, which takes 0.3 s, whenever a run logs or dumps one: nobody reads those of the tests.
yapf.yapflib.yapf_api.FormatCode = lambda text, **_: (text, True)
# For every base config of MMDetection it reads the same hundred YAML files, which takes 0.3 s.
mmengine.config.utils.load = functools.cache(mmengine.config.utils.load)
# Nothing a test asserts survives a power cut, so its files need not reach the disk. Child processes are unchanged.
os.fsync = lambda descriptor: None
# MMEngine collects garbage for every dataset that it serialises, 0.2 s with all hosts imported.
mmengine.dataset.base_dataset.gc = SimpleNamespace(collect=lambda: None)
# Workers of a loader that the garbage collector ends are not told so, and the loader waits for each: 5 s by default.
torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.2

# The same examples on every machine, however slow: whoever looks for new ones passes --hypothesis-profile=default.
settings.register_profile('suite', derandomize=True, deadline=None)
settings.load_profile('suite')

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_finish():
    """Everything is imported: BLAS takes one thread, and no garbage collection looks at the hosts' modules again."""
    threadpool_limits(1)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope='session')
def no_network():
    """Nothing is downloaded without being asked: whatever asks another machine fails its test."""
    connect = socket.socket.connect

    def local_only(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ('127.0.0.1', '::1', 'localhost'):
            raise AssertionError(f'something asked the network for {address}')
        return connect(self, address)

    socket.socket.connect = local_only
    yield
    socket.socket.connect = connect


@pytest.fixture(autouse=True, scope='session')
def settings_of_nobody(tmp_path_factory):
    """The user's folder of settings, where a key is kept, is another: also for processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CONFIG_HOME', str(tmp_path_factory.mktemp('settings')))
        yield


@pytest.fixture(autouse=True, scope='module')
def no_default_scope():
    """Each file starts without the scope that the tests of another have left, so that their order does not matter."""
    DefaultScope._instance_dict.clear()


@pytest.fixture(autouse=True)
def nothing_current_of_another_test():
    """MMEngine keeps visualizers and message hubs by name, and the last is the current one.

    Names are of the second: two runs within one would share a visualizer, and its folder, which is gone. And a run that
    a test has stopped in its first step would still be in that step, where consistency losses are near 0.
    """
    yield
    kinds = [Visualizer, MessageHub]
    for kind in kinds:
        kinds += kind.__subclasses__()
        kind._instance_dict.clear()


@pytest.fixture(autouse=True)
def loading_as_before():
    """Tools forbid pickled code for the whole process, also if a module fixture runs them; each test starts anew."""
    _restore_loading()
    yield
    _restore_loading()


def _restore_loading():
    for name, value in LOADING.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope='session')
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope='session')
def real_data() -> Path:
    """The folder that USCL_TEST_DATA names (pocus/, covid_blues/); tests that need it are skipped without."""
    path = os.environ.get('USCL_TEST_DATA')
    if not path:
        pytest.skip('USCL_TEST_DATA is not set')
    return Path(path)


def _make_clusters(
    folder: Path, videos: dict[str, tuple], size: int = 48, split: str | None = None, seed: int = 0
) -> Path:
    """Write videos `{id: (number of frames, label[, patient])}` whose frame k has mean grey 10 * (k + 1).

    The first frames of data with the same seed are equal, so a network that was trained on one has seen the other.
    """
    rng = np.random.default_rng(seed)
    made = []
    for video_id, (num_frames, label, *patient) in videos.items():
        frames = [
            np.clip(rng.normal(10 * (k + 1), 3, (size, size + 8)), 0, 255).astype(np.uint8) for k in range(num_frames)
        ]
        patient_id = patient[0] if patient else None
        made.append(dict(video_id=video_id, patient_id=patient_id, label=label, split=split, fps=3.0, frames=frames))
    return write_data_folder(folder, made)


@pytest.fixture(scope='session')
def make_clusters():
    """The function that writes a synthetic dataset."""
    return _make_clusters


@pytest.fixture(scope='session')
def clusters(tmp_path_factory) -> Path:
    """Seven videos of two classes, one unlabelled, one of two frames and one of a single frame."""
    videos = {f'{label}/v{i}': (5 + i, label, f'p{i}') for i, label in enumerate(['a', 'b', 'a', 'b'])}
    videos |= {'a/two': (2, 'a'), 'b/one': (1, 'b'), 'none/v': (4, None)}
    return _make_clusters(tmp_path_factory.mktemp('clusters'), videos)


@pytest.fixture(scope='session')
def patients(tmp_path_factory) -> Path:
    """Eighteen videos of three classes and nine patients, three or four frames each."""
    videos = {f'{"abc"[k % 3]}/v{k}': (3 + k % 2, 'abc'[k % 3], f'{"abc"[k % 3]}{k // 6}') for k in range(18)}
    return _make_clusters(tmp_path_factory.mktemp('patients'), videos, seed=1)


@pytest.fixture
def undrawn(monkeypatch):
    """A figure of a page becomes one pixel, as drawing takes half a second; those in files of their own are drawn."""
    draw, pixel = Figure.savefig, io.BytesIO()
    Image.new('L', (1, 1)).save(pixel, 'png')

    def savefig(self, file, **options):
        return file.write(pixel.getvalue()) if isinstance(file, io.BytesIO) else draw(self, file, **options)

    monkeypatch.setattr(Figure, 'savefig', savefig)


@pytest.fixture
def logged():
    """The messages of the current logger."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def sigint():
    """Ctrl-C raises KeyboardInterrupt, also if the tests run in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def free_port() -> int:
    """A TCP port on this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


@pytest.fixture
def run_config(clusters, tmp_path):
    """A function that makes the demo config tiny (32 px, narrow, `clusters`) and ready for a run in `tmp_path`."""
    from mmengine.config import Config

    def make(epochs: int = 1, name: str = 'run', **options) -> Config:
        cfg = Config.fromfile(ROOT / 'configs' / 'uscl' / 'uscl_resnet18_demo.py')
        cfg.merge_from_dict(
            {
                'train_dataloader.dataset.data_root': str(clusters),
                'train_dataloader.dataset.steps.AntialiasedRandomResizedCrop.scale': 32,
                'train_dataloader.batch_size': 4,
                'model.backbone.stem_channels': 16,
                'model.backbone.base_channels': 16,
                'model.neck': dict(in_channels=128, hid_channels=64, out_channels=32),
                'model.head': dict(num_classes=2, in_channels=128),
                'train_cfg.max_epochs': epochs,
                'default_hooks.checkpoint.interval': 1,
                'default_hooks.logger.interval': 1,
                'work_dir': str(tmp_path / name),
                'experiment_name': f'{tmp_path.name}-{name}-{time.monotonic_ns()}',
                **options,
            }
        )
        return cfg

    return make


@pytest.fixture
def fold_cfg(patients, tmp_path):
    """A function that makes a config of configs/pocus ready for a tiny run on one fold of `patients` (32 px)."""
    from mmengine.config import Config

    from uscl.data.annotations import read_annotations
    from uscl.data.fold_making import make_folds
    from uscl.data.folds import write_folds
    from uscl.options.evaluation_options import EvaluationOptions
    from uscl_plugin.evaluation.backbones import load_backbone
    from uscl_plugin.evaluation.finetuning import fold_config
    from uscl_plugin.weights.checkpoint_files import write_checkpoint

    def make(protocol: str, epochs: int = 1, val_fraction: float = 0.4, seed: int = 0) -> Config:
        entries = read_annotations(patients / 'annotations.json')['data_list']
        write_folds(tmp_path / 'folds.json', make_folds(entries, 3, 0, val_fraction=val_fraction))
        cfg = Config.fromfile(ROOT / 'configs' / 'pocus' / f'resnet18_1xb32-{protocol}-100e_pocus-224px.py')
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.num_workers = 0
        backbone = load_backbone('random')
        meta = {'mean': [127.5] * 3, 'std': [63.75] * 3, 'channel_order': 'rgb'}
        state = {f'backbone.{name}': tensor for name, tensor in backbone.network.state_dict().items()}
        write_checkpoint(tmp_path / 'backbone.pth', state, meta)
        data = dict(fold_file=str(tmp_path / 'folds.json'), fold=0, classes=['a', 'b', 'c'])
        sides = {'train': True, 'val': val_fraction > 0, 'test': True}
        shared = dict(checkpoints=[], data=str(patients), out='', size=32, epochs=epochs)
        options = EvaluationOptions(**shared, protocol='finetune')  # the config says which layers
        return fold_config(cfg, data, sides, backbone, tmp_path / 'backbone.pth', seed, options)

    return make
