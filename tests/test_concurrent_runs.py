"""Two processes that write to one place at the same moment: one wins, or both results are whole, never a mix."""

import json
import multiprocessing
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from lesion_folders import blobs, save, scan

from uscl.clips.discovery import find_sources
from uscl.convert.lesions.lesion_conversion import convert_lesions
from uscl.convert.lesions.lesion_settings import LesionSettings
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import convert_sources
from uscl.core.atomic_files import write_text
from uscl.core.errors import FolderInUseError
from uscl.core.folder_lock import LOCK, lock_folder
from uscl.core.tables import write_csv
from uscl.data.frame_store import damaged_videos
from uscl.data.video_folder import VideoFolder
from uscl.options.finetuning_options import FinetuningOptions
from uscl.options.pretraining_options import PretrainingOptions
from uscl_plugin.finetuning.finetuning_run import finetune
from uscl_plugin.pretraining.pretraining_run import pretrain
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import stated_meta, write_checkpoint
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='uses fork')
FORK = multiprocessing.get_context('fork') if sys.platform == 'linux' else None
DONE, REFUSED, FAILED = 0, 3, 4
SIZES = (16, 24)


def together(*jobs):
    """Run functions in processes of their own that start together; whether each was done or refused."""
    barrier = FORK.Barrier(len(jobs))

    def run(job):
        barrier.wait()
        try:
            job()
        except FolderInUseError:
            os._exit(REFUSED)
        except BaseException:
            os._exit(FAILED)
        os._exit(DONE)

    processes = [FORK.Process(target=run, args=(job,)) for job in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp('clips')
    for number in range(4):
        for frame in range(3):
            save(root / 'a' / f'{number}' / f'{frame}.png', scan(number * 3 + frame))
    return root


@pytest.fixture(scope='module')
def lesions(tmp_path_factory):
    root = tmp_path_factory.mktemp('lesions')
    for number in range(8):
        save(root / 'images' / f'{number}.png', scan(number))
        save(root / 'masks' / f'{number}.png', blobs((5, 5, 9, 9)))
    return root


def convert(src, out, size):
    assert convert_sources(find_sources(src), out, StoreSettings(size=size), workers=1) == 0


@pytest.mark.parametrize('delay', [0, 0.02, 0.1])
@pytest.mark.parametrize('is_new', [True, False])
def test_two_conversions(clips, tmp_path, delay, is_new):
    out = tmp_path / 'out'
    if not is_new:
        convert(clips, out, 32)

    def late():
        time.sleep(delay)
        convert(clips, out, SIZES[1])

    ended = together(partial(convert, clips, out, SIZES[0]), late)
    assert DONE in ended and FAILED not in ended
    folder = VideoFolder(out)
    shapes = {tuple(folder[k]['frames'][0].shape) for k in range(len(folder))}
    assert len(folder) == 4 and len(shapes) == 1 and not damaged_videos(out)
    settings = json.loads((out / 'annotations.json').read_text())['metainfo']['settings']
    winners = [size for size, code in zip(SIZES, ended, strict=True) if code == DONE]
    assert settings['size'] in winners and min(next(iter(shapes))) == settings['size']
    assert not list(out.glob('**/.*'))


@pytest.mark.parametrize('number', range(3))
def test_two_conversions_of_lesions(lesions, tmp_path, number):
    out = tmp_path / 'out'
    jobs = [partial(convert_lesions, lesions, out, LesionSettings('pairs', **kind), overview=False)
            for kind in ({'val': 2}, {'folds': 4})]  # fmt: skip
    ended = together(*jobs)
    assert DONE in ended and FAILED not in ended
    files = {path.stem for path in (out / 'annotations').iterdir()}
    whole = [{'train', 'val'}, {f'fold_{k}_{side}' for k in range(4) for side in ('train', 'val')}]
    assert files in [names for names, code in zip(whole, ended, strict=True) if code == DONE]


@pytest.mark.parametrize('write', [write_text, lambda path, text: write_csv(path, ('a',), [(text,)])])
def test_two_writers_of_a_file(tmp_path, write):
    path, texts = tmp_path / 'a.csv', ('x' * 200_000, 'y' * 300_000)

    def often(text):
        for _ in range(20):
            write(path, text)

    assert together(*(partial(often, text) for text in texts)) == [DONE] * 2
    assert path.read_text().replace('a\n', '').strip() in texts and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(('name', 'flat'), [('a.pth', False), ('a.safetensors', False), ('a.pth', True)])
@pytest.mark.parametrize('number', range(2))
def test_two_exports_to_a_file(tmp_path, name, flat, number):
    path = tmp_path / name

    def export(value):
        for _ in range(5):
            write_checkpoint(path, {'w': torch.full((300, 100), float(value))}, {'value': str(value)}, flat=flat)

    assert together(partial(export, 1), partial(export, 2)) == [DONE] * 2
    checkpoint = load_plain_checkpoint(path)
    tensor = checkpoint['w'] if flat else checkpoint['state_dict']['w']
    assert len(tensor.unique()) == 1
    try:
        assert float(stated_meta(path, checkpoint)['value']) == tensor[0, 0]
    except CheckpointError as error:  # the weights of one, the text beside them of the other: this is said
        assert flat and 'written for other weights' in str(error)


@pytest.mark.parametrize('command', ['pretrain', 'finetune'])
def test_a_folder_that_is_taken(patients, tmp_path, command):
    out = tmp_path / 'out'
    run = {
        'pretrain': lambda: pretrain(PretrainingOptions(clips=str(patients), out=str(out), size=32, epochs=1), ''),
        'finetune': lambda: finetune(
            FinetuningOptions(data=str(patients), source='random', out=str(out), size=32, epochs=1), ''
        ),
    }[command]
    with lock_folder(out, 'training'), pytest.raises(FolderInUseError, match=f'process {os.getpid()} on '):
        try:
            run()
        finally:
            assert {path.name for path in out.iterdir()} <= {LOCK, 'log'}


@pytest.mark.parametrize('moment', [0.0, 0.05, 0.2])
def test_a_killed_conversion_keeps_nobody_out(clips, tmp_path, moment):
    out = tmp_path / 'out'
    process = FORK.Process(target=convert, args=(clips, out, SIZES[0]))
    process.start()
    while not (out / LOCK).exists() and process.is_alive():
        time.sleep(0.001)
    time.sleep(moment)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    convert(clips, out, SIZES[1])
    folder = VideoFolder(out)
    assert {np.shape(folder[k]['frames'])[1] for k in range(4)} == {SIZES[1]} and not damaged_videos(Path(out))
    assert not (out / LOCK).exists()
