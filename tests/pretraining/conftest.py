"""Clips and options for tiny pretraining runs."""

import numpy as np
import pytest
from PIL import Image

from uscl.options.pretraining_options import PretrainingOptions


def _write_clip(path, seed, num_frames=9):
    """A clip of a coarse pattern of its own that drifts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pattern = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (6, 6), dtype=np.uint8)).resize((96, 96))
    frames = [Image.fromarray(np.roll(pattern, 2 * k, axis=1)[:64, :80]) for k in range(num_frames)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)


@pytest.fixture(scope='session')
def write_unlike():
    """The function that writes a clip that looks like no other."""
    return _write_clip


@pytest.fixture(scope='session')
def clip_folder(tmp_path_factory):
    """Ten clips of ten patients, two classes."""
    folder = tmp_path_factory.mktemp('clips')
    rows = ['path,label,patient_id']
    for k in range(10):
        _write_clip(folder / f'{"ab"[k % 2]}{k}.gif', k)
        rows.append(f'{"ab"[k % 2]}{k}.gif,{"ab"[k % 2]},p{k}')
    (folder / 'index.csv').write_text('\n'.join(rows) + '\n')
    return folder


@pytest.fixture
def tiny(clip_folder, tmp_path):
    """A function that makes the options of a run of two epochs at 32 px on `clip_folder`, or on other data."""

    def make(clips=clip_folder, out='run', **changes):
        settings = dict(size=32, epochs=2, workers=0, precision='float32') | changes  # not what happens to be faster
        return PretrainingOptions(clips=str(clips), out=str(tmp_path / out), **settings)

    return make
