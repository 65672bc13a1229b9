"""Which checkpoint a run goes on from, what it refuses to load, and files that are there whole or not at all."""

import errno
import os
import pickle
import random
import resource
import runpy
import sys
import tempfile
import time
from pathlib import Path

import mmengine.runner.checkpoint
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.fileio import get_file_backend
from mmengine.runner import Runner

from uscl.core import atomic_files
from uscl_plugin.running.host_tools import host_tool
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint, only_plain_checkpoints
from uscl_plugin.weights.run_checkpoints import load_resumable, newest_checkpoint, numbered_checkpoints


def checkpoint(epoch):
    weights = torch.arange(20_000.0) + epoch
    return {'meta': {'epoch': epoch}, 'state_dict': {'weight': weights}, 'message_hub': {'runtime_info': {}}}


class PlantedCode:
    """Leaves a file behind if somebody unpickles it."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def cut(path, share):
    os.truncate(path, int(path.stat().st_size * share))


def flip_a_weight(path):
    content = bytearray(path.read_bytes())
    place = content.index(torch.arange(20_000.0)[5000:5010].numpy().tobytes())
    content[place + 17] ^= 1
    path.write_bytes(content)


DAMAGES = {
    'empty': lambda path: path.write_bytes(b''),
    'almost whole': lambda path: cut(path, 0.99),
    'half': lambda path: cut(path, 0.5),
    'its beginning': lambda path: path.write_bytes(path.read_bytes()[:3]),
    'noise': lambda path: path.write_bytes(random.Random(0).randbytes(5000)),
    'a folder': lambda path: (path.unlink(), path.mkdir()),
    'code': lambda path: torch.save(checkpoint(1) | {'more': PlantedCode(path.with_name('ran'))}, path),
    'code without archive': lambda path: path.write_bytes(pickle.dumps(PlantedCode(path.with_name('ran')))),
    'weights alone': lambda path: torch.save({'weight': torch.zeros(3)}, path),
    'a flipped bit in a weight': flip_a_weight,
    'a flipped bit in the archive': lambda path: flip_the_name_of_an_entry(path),
}


def flip_the_name_of_an_entry(path):
    """A name that is no text any more, which zipfile reports by an error of its own."""
    content = bytearray(path.read_bytes())
    place = content.rindex(b'data.pkl')
    content[place] ^= 0x80
    content[content.rindex(b'PK\x01\x02', 0, place) + 9] |= 0x08  # in UTF-8, it says
    path.write_bytes(content)


@pytest.mark.parametrize('damage', DAMAGES)
def test_damaged_checkpoint_is_skipped_and_named(damage, tmp_path):
    for epoch in (9, 10):  # 10 comes after 9, whatever the alphabet says
        torch.save(checkpoint(0), tmp_path / f'epoch_{epoch}.pth')
    assert newest_checkpoint(tmp_path) == (tmp_path / 'epoch_10.pth', [])
    DAMAGES[damage](tmp_path / 'epoch_10.pth')
    chosen, skipped = newest_checkpoint(tmp_path)
    assert chosen == tmp_path / 'epoch_9.pth'
    (reason,) = skipped
    assert reason.startswith(str(tmp_path / 'epoch_10.pth')) and len(reason.splitlines()) == 1
    assert not (tmp_path / 'ran').exists()


def test_a_flipped_bit_loads_without_the_checksum(tmp_path):
    """Why the checksums are compared: torch does not."""
    torch.save(checkpoint(0), tmp_path / 'epoch_1.pth')
    load_plain_checkpoint(tmp_path / 'epoch_1.pth')
    flip_a_weight(tmp_path / 'epoch_1.pth')
    changed = torch.load(tmp_path / 'epoch_1.pth', weights_only=True)['state_dict']['weight']
    assert (changed != torch.arange(20_000.0)).sum() == 1
    with pytest.raises(CheckpointError, match=r'epoch_1.pth is damaged'):
        load_plain_checkpoint(tmp_path / 'epoch_1.pth')


def test_an_earlier_run_in_the_same_folder_got_further(tmp_path):
    for epoch, when in ((300, '20260101_120000'), (20, '20260102_130000'), (10, '20260102_120000')):
        content = checkpoint(epoch)
        content['meta']['time'] = when
        torch.save(content, tmp_path / f'epoch_{epoch}.pth')
    assert newest_checkpoint(tmp_path) == (tmp_path / 'epoch_20.pth', [])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.dictionaries(st.integers(1, 200), st.none() | st.floats(0, 0.99), min_size=1, max_size=6))
def test_newest_that_is_whole(shares):
    """Iteration → share of its file that is left, None of a whole one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, share in shares.items():
            torch.save(checkpoint(number), folder / f'iter_{number}.pth')
            if share is not None:
                cut(folder / f'iter_{number}.pth', share)
        (folder / 'best_iter_999.pth').write_bytes(b'another')
        (folder / 'epoch_999.pth').write_bytes(b'another')
        (folder / 'last_checkpoint').write_text(str(folder / f'iter_{max(shares)}.pth'))
        whole = [number for number, share in shares.items() if share is None]
        chosen, skipped = newest_checkpoint(folder, 'iter_{}.pth')
        assert (chosen and chosen.name) == (f'iter_{max(whole)}.pth' if whole else None)
        assert len(skipped) == len(shares) - len(whole)
        assert [path.name for path in numbered_checkpoints(folder)] == ['epoch_999.pth']


class TestAtomicBackend:
    @pytest.fixture
    def backend(self):
        return get_file_backend('somewhere', backend_args={'backend': 'atomic'})

    def test_whole_file_under_its_name(self, backend, tmp_path):
        backend.put(b'abc', tmp_path / 'new' / 'a.pth')
        backend.put_text('äö', tmp_path / 'new' / 'b.txt')
        assert (tmp_path / 'new' / 'a.pth').read_bytes() == b'abc'
        assert (tmp_path / 'new' / 'b.txt').read_text(encoding='utf-8') == 'äö'
        assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['a.pth', 'b.txt']

    def test_content_is_on_disk_before_the_name_is(self, backend, tmp_path, monkeypatch):
        path, seen = tmp_path / 'a.pth', []
        path.write_bytes(b'old')
        fsync = os.fsync

        def spy(descriptor):
            name = Path(f'/proc/self/fd/{descriptor}').readlink()
            seen.append((name == tmp_path, path.read_bytes()))
            fsync(descriptor)

        monkeypatch.setattr(atomic_files.os, 'fsync', spy)
        backend.put(b'new', path)
        assert seen == [(False, b'old'), (True, b'new')]  # the content, then the folder

    def test_full_disk_leaves_what_was_there(self, backend, tmp_path):
        """The kernel refuses: a file may have no more than this many bytes."""
        path = tmp_path / 'epoch_1.pth'
        path.write_bytes(b'old')
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            with pytest.raises(OSError, match=r'nothing was written') as error:
                backend.put(b'x' * 20_000, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert error.value.errno == errno.EFBIG and error.value.filename == str(path)
        assert path.read_bytes() == b'old' and [entry.name for entry in tmp_path.iterdir()] == ['epoch_1.pth']


def run(cfg, **options):
    cfg.merge_from_dict(options)
    cfg.experiment_name = f'resuming-{time.monotonic_ns()}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.fixture
def planted(tmp_path):
    path = tmp_path / 'planted.pth'
    torch.save({'meta': {}, 'state_dict': {'backbone.x': PlantedCode(tmp_path / 'ran')}}, path)
    return path


WAYS = {
    'load_from': lambda path: {'load_from': str(path)},
    'resume PATH': lambda path: {'load_from': str(path), 'resume': True},
    'init_cfg': lambda path: {'model.backbone.init_cfg': dict(type='Pretrained', checkpoint=str(path))},
    'init_cfg of the model': lambda path: {'model.init_cfg': dict(type='Pretrained', checkpoint=str(path))},
}


@pytest.mark.parametrize('way', WAYS)
def test_no_code_runs_from_checkpoints(way, run_config, planted, tmp_path):
    with pytest.raises(CheckpointError, match=r'planted.pth .*posix.mkdir'):
        run(run_config(1), **WAYS[way](planted))
    assert not (tmp_path / 'ran').exists()


def test_nor_where_a_run_resumes_by_itself(run_config, planted, tmp_path):
    (tmp_path / 'run').mkdir()
    planted.rename(tmp_path / 'run' / 'epoch_7.pth')
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(tmp_path / 'run' / 'epoch_7.pth'))
    with pytest.raises(CheckpointError, match=r'none of the 1 checkpoints .*code'):
        run(run_config(1), resume=True)
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('way', ['load_from', 'init_cfg'])
def test_nor_in_the_hosts_own_tool(way, run_config, planted, tmp_path, monkeypatch):
    """MMPretrain's tools/train.py as it is: no tool of this package has prepared anything."""
    cfg = run_config(1)
    cfg.merge_from_dict(WAYS[way](planted))
    cfg.dump(tmp_path / 'config.py')
    tool = str(host_tool('mmpretrain', 'train'))
    monkeypatch.setattr(sys, 'argv', [tool, str(tmp_path / 'config.py'), '--work-dir', str(tmp_path / 'host')])
    with pytest.raises(CheckpointError, match='pickled code'):
        runpy.run_path(tool, run_name='__main__')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.skipif(not hasattr(mmengine.runner.checkpoint, '_safe_torch_load'), reason='mmengine 0.10.7 refuses it')
def test_a_file_that_is_trusted_loads_as_ever(run_config, planted, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
    with pytest.raises(CheckpointError, match=r'planted\.pth does not fit'):  # later, when its code has run
        run(run_config(1), load_from=str(planted))
    assert (tmp_path / 'ran').exists()


def test_first_start_with_resume_is_a_start(run_config):
    assert run(run_config(1), resume=True).epoch == 1


def test_so_is_one_whose_checkpoints_were_deleted(run_config, tmp_path):
    run(run_config(1))
    (tmp_path / 'run' / 'epoch_1.pth').unlink()
    assert (tmp_path / 'run' / 'last_checkpoint').exists()
    assert run(run_config(1), resume=True).iter == 2  # the steps of an epoch
    assert 'has no checkpoint to resume from' in ''.join(path.read_text() for path in tmp_path.rglob('*.log'))


@pytest.mark.parametrize('given', ['{}', './{}'])
def test_a_damaged_checkpoint_given_by_its_path_is_refused(given, run_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(run_config(1))
    path = tmp_path / 'run' / 'epoch_1.pth'
    content = bytearray(path.read_bytes())
    weights = load_plain_checkpoint(path)['state_dict']['backbone.layer4.1.conv2.weight'].numpy().tobytes()
    content[content.index(weights[:400]) + 17] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'epoch_1.pth '):
        run(run_config(2), resume=True, load_from=given.format(path.relative_to(tmp_path)))


def test_init_cfg_is_checked_in_a_run_that_resumes_by_itself(run_config, planted, tmp_path):
    run(run_config(1))
    with pytest.raises(CheckpointError, match=r'planted.pth '):
        run(run_config(2), resume=True, **WAYS['init_cfg'](planted))
    assert not (tmp_path / 'ran').exists()


def test_a_setting_that_torch_refuses_beside_ours_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    torch.save(checkpoint(1), tmp_path / 'epoch_1.pth')
    with pytest.warns(UserWarning, match='TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        only_plain_checkpoints()
    load_resumable(tmp_path / 'epoch_1.pth')


def test_full_disk_during_a_run(run_config, tmp_path):
    cfg = run_config(3)
    run(run_config(1))
    first = (tmp_path / 'run' / 'epoch_1.pth').read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(first) // 2, hard))
    try:
        with pytest.raises(OSError, match=r'epoch_2.pth'):
            run(run_config(3), resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / 'run' / 'epoch_1.pth').read_bytes() == first
    assert run(cfg, resume=True).epoch == 3


def test_keeping_one_checkpoint_is_warned_about(run_config, tmp_path):
    run(run_config(1), **{'default_hooks.checkpoint.max_keep_ckpts': 1})
    log = ''.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert 'max_keep_ckpts=1' in log and 'keep 2' in log
