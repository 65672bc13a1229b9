import csv
import hashlib
import multiprocessing
import os
import signal
import sys
import time

import numpy as np
import pytest
from media_clips import draw, write_clip
from PIL import Image
from tool_module import load_tool

from uscl.clips.discovery import VideoSource, find_sources
from uscl.convert.videos import video_conversion as conversion
from uscl.convert.videos import video_store
from uscl.convert.videos.video_conversion import convert_sources
from uscl.convert.videos.video_store import StoreSettings
from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations
from uscl.data.frame_store import read_index

SETTINGS = StoreSettings(fps=3, size=32)


@pytest.fixture
def source(tmp_path):
    for name in ('b/clip10.mp4', 'b/clip2.avi', 'a/x.gif', 'y.mpeg'):
        write_clip(tmp_path / 'src' / name, 24, 25)
    return tmp_path / 'src'


def convert(source, out, workers=1, **kwargs):
    return convert_sources(find_sources(source), out, SETTINGS, workers=workers, fps=3.0, size=32, **kwargs)


def digests(out):
    files = sorted(path for path in out.rglob('*') if path.is_file())
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mtimes(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob('*.png')}


def test_annotations(source, tmp_path):
    assert convert(source, tmp_path / 'out') == 0
    annotations = read_annotations(tmp_path / 'out/annotations.json')
    assert annotations['metainfo']['classes'] == ['a', 'b']
    assert (annotations['metainfo']['fps'], annotations['metainfo']['size']) == (3.0, 32)
    entries = annotations['data_list']
    assert [(entry['video_id'], entry['label'], len(entry['frames'])) for entry in entries] == [
        ('a/x.gif', 'a', 3),
        ('b/clip2.avi', 'b', 3),
        ('b/clip10.mp4', 'b', 3),
        ('y.mpeg', None, 3),
    ]
    assert all((tmp_path / 'out' / frame).is_file() for entry in entries for frame in entry['frames'])
    assert not (tmp_path / 'out/skipped.csv').exists()


def test_patient_split_and_given_classes(source, tmp_path):
    videos = [VideoSource('y.mpeg', source / 'y.mpeg', 'b', 'p7', 'val')]
    assert convert_sources(videos, tmp_path / 'out', SETTINGS, ['c', 'b'], workers=1) == 0
    annotations = read_annotations(tmp_path / 'out/annotations.json')
    assert annotations['metainfo']['classes'] == ['c', 'b']
    assert (annotations['data_list'][0]['patient_id'], annotations['data_list'][0]['split']) == ('p7', 'val')


def test_same_bytes_for_any_number_of_workers_and_any_folder(source, tmp_path):
    convert(source, tmp_path / 'one')
    convert(source, tmp_path / 'deeper/two', workers=2)
    assert digests(tmp_path / 'one') == digests(tmp_path / 'deeper/two')
    assert (
        len(digests(tmp_path / 'one')) == 4 * (3 + 1) + 1 + 3
    )  # frames and manifests, annotation, store with its lock
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in (tmp_path / 'one').rglob('*.json'))


def test_second_run_redoes_only_what_changed(source, tmp_path, capsys):
    out = tmp_path / 'out'
    convert(source, out)
    assert '4 converted now, 0 complete already, 0 skipped.' in capsys.readouterr().out
    before, content = mtimes(out), digests(out)
    convert(source, out)
    assert '0 converted now, 4 complete already, 0 skipped.' in capsys.readouterr().out
    assert mtimes(out) == before and digests(out) == content
    write_clip(source / 'a/x.gif', 12, 25)
    convert(source, out)
    assert '1 converted now, 3 complete already, 0 skipped.' in capsys.readouterr().out
    changed = {path for path, time in mtimes(out).items() if before[path] != time}
    assert {path.parent.name.split('-')[0] for path in changed} == {'a__x.gif'}


def test_bad_clips_are_skipped_and_listed(source, tmp_path, capsys):
    (source / 'a/cut.mp4').write_bytes((source / 'b/clip10.mp4').read_bytes()[:4000])
    (source / 'a/empty.avi').touch()
    (source / 'a/[bold]text.mov').write_text('text')
    assert convert(source, tmp_path / 'out', workers=2) == 0
    with (tmp_path / 'out/skipped.csv').open(newline='') as file:
        rows = list(csv.reader(file))
    assert rows[0] == ['video_id', 'reason']
    assert [row[0] for row in rows[1:]] == ['a/[bold]text.mov', 'a/cut.mp4', 'a/empty.avi']
    assert 'not a video' in rows[1][1] and 'truncated' in rows[2][1] and '0 bytes' in rows[3][1]
    assert len(read_annotations(tmp_path / 'out/annotations.json')['data_list']) == 4
    printed = capsys.readouterr().out
    assert all(f'skipped {video_id}: {reason}\n' in printed for video_id, reason in rows[1:])
    for name in ('cut.mp4', 'empty.avi', '[bold]text.mov'):
        (source / 'a' / name).unlink()
    convert(source, tmp_path / 'out')
    assert not (tmp_path / 'out/skipped.csv').exists()


def test_nothing_readable(tmp_path, capsys):
    (tmp_path / 'src').mkdir()
    (tmp_path / 'src/x.mp4').touch()
    assert convert(tmp_path / 'src', tmp_path / 'out') == 1
    assert 'Nothing could be read' in capsys.readouterr().out
    assert [path.name for path in (tmp_path / 'out').iterdir() if path.is_file()] == ['skipped.csv']


def test_report_counts(source, tmp_path, capsys):
    (source / 'b/bad.mp4').touch()
    (source / 'index.csv').write_text(
        'path,label,patient_id\na/x.gif,a,p1\nb/clip2.avi,b,p2\nb/clip10.mp4,b,p2\ny.mpeg,,\nb/bad.mp4,b,p9\n'
    )
    convert(source, tmp_path / 'out')
    lines = [line.replace('│', ' ').split() for line in capsys.readouterr().out.splitlines()]
    for row in ('a 1 3 1 0', 'b 2 6 1 1', '(unlabelled) 1 3 - 0', 'total 4 12 2 1'):
        assert row.split() in lines


def test_an_image_that_the_index_lists_is_a_video_of_one_frame(tmp_path):
    (tmp_path / 'src').mkdir()
    Image.fromarray(draw(5, 32)).save(tmp_path / 'src' / 'a.png')
    (tmp_path / 'src' / 'index.csv').write_text('path,label,patient_id\na.png,a,p1\n')
    assert convert(tmp_path / 'src', tmp_path / 'out') == 0
    (entry,) = read_annotations(tmp_path / 'out/annotations.json')['data_list']
    (frame,) = entry['frames']
    assert np.array_equal(np.asarray(Image.open(tmp_path / 'out' / frame)), draw(5, 32)[..., 0])


def test_clip_that_kills_its_reader_is_the_only_loss(source, tmp_path, monkeypatch, capsys):
    original = conversion.store_video

    def crash_on_gif(video_id, *args):
        if video_id.endswith('.gif'):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(video_id, *args)

    monkeypatch.setattr(conversion, 'store_video', crash_on_gif)
    assert convert(source, tmp_path / 'out', workers=2) == 0
    assert 'skipped a/x.gif: its reader crashed' in capsys.readouterr().out
    assert len(read_annotations(tmp_path / 'out/annotations.json')['data_list']) == 3


def test_odd_error_loses_one_clip(source, tmp_path, monkeypatch, capsys):
    def fail_on_gif(video_id, *args):
        if video_id.endswith('.gif'):
            raise RuntimeError('on purpose')
        return store_video(video_id, *args)

    store_video = video_store.store_video
    monkeypatch.setattr(conversion, 'store_video', fail_on_gif)
    assert convert(source, tmp_path / 'out') == 0
    assert 'skipped a/x.gif: could not be converted (RuntimeError: on purpose)' in capsys.readouterr().out


def test_full_disk_stops_the_run(source, tmp_path, monkeypatch):
    def fill_disk(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(conversion, 'store_video', fill_disk)
    with pytest.raises(SourceError, match=r'cannot write to .*No space left.*free some space'):
        convert(source, tmp_path / 'out')


def test_out_is_a_file(source, tmp_path):
    (tmp_path / 'out').touch()
    with pytest.raises(SourceError, match='cannot write to'):
        convert(source, tmp_path / 'out')


def start_slowly(source, out, monkeypatch):
    """Start a run in a process group of its own that takes 0.2 s a frame; return when the second video is under way."""
    original = video_store.write_png

    def write_slowly(*args):
        original(*args)
        time.sleep(0.2)

    def run():
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.exit(as_command()(convert)(source, out))

    with monkeypatch.context() as patch:
        patch.setattr(video_store, 'write_png', write_slowly)
        process = multiprocessing.get_context('fork').Process(target=run)
        process.start()
    deadline = time.monotonic() + 30
    while not list(out.glob('frames/.tmp-b__clip2*/*.png')) and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def list_done(out):
    return {path.name for path in (out / 'frames').iterdir() if not path.name.startswith('.tmp-')}


def check_goes_on(source, out, capsys):
    """A further run keeps the complete videos and ends where an undisturbed one does."""
    before, done = mtimes(out), list_done(out)
    (out / 'frames/.tmp-of-a-clip-that-is-gone').mkdir()
    (out / 'frames/.tmp-of-a-clip-that-is-gone/000000.png').touch()
    capsys.readouterr()
    assert convert(source, out) == 0
    assert f'{len(done)} complete already' in capsys.readouterr().out
    assert all(mtimes(out)[path] == time for path, time in before.items() if path.parent.name in done)
    convert(source, out.with_name('fresh'))
    assert digests(out) == digests(out.with_name('fresh'))


@pytest.mark.skipif(sys.platform != 'linux', reason='uses fork')
def test_killed_run_goes_on(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    process = start_slowly(source, out, monkeypatch)
    os.killpg(process.pid, signal.SIGKILL)
    process.join(30)
    assert [name.split('-')[0] for name in list_done(out)] == ['a__x.gif']
    assert len(list(out.glob('frames/.tmp-*'))) == 1 and not (out / 'annotations.json').exists()
    check_goes_on(source, out, capsys)


@pytest.mark.skipif(sys.platform != 'linux', reason='uses fork')
def test_ctrl_c_finishes_the_videos_under_way(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    process = start_slowly(source, out, monkeypatch)
    os.killpg(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130
    assert any(name.startswith('b__clip2') for name in list_done(out))
    assert not list(out.glob('frames/.tmp-*')) and not (out / 'annotations.json').exists()
    check_goes_on(source, out, capsys)


@pytest.mark.skipif(sys.platform != 'linux', reason='uses fork')
def test_a_second_run_into_the_folder_is_refused_and_the_first_ends_well(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    process = start_slowly(source, out, monkeypatch)
    under_way = list(out.glob('frames/.tmp-*/*.png'))
    assert load_tool('tools/dataset_converters/videos_to_clusters.py').main([str(source), '--out', str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'error: {out} is in use by process {process.pid} on ') and error.count('\n') == 1
    assert under_way and all(path.exists() for path in under_way if path.parent.exists())
    process.join(30)
    assert process.exitcode == 0
    convert(source, out.with_name('fresh'))
    assert digests(out) == digests(out.with_name('fresh'))


def test_frame_store_follows_the_videos(source, tmp_path, capsys):
    out = tmp_path / 'out'
    convert(source, out)
    assert 'Frame store of 4 clips' in capsys.readouterr().out
    first = read_index(out)
    write_clip(source / 'a/x.gif', 48, 25)
    convert(source, out)
    second = read_index(out)
    assert set(second.videos) == {'a/x.gif', 'b/clip2.avi', 'b/clip10.mp4', 'y.mpeg'} and not second.left_out
    assert second.videos['a/x.gif'].shape[0] == 6 and first.videos['a/x.gif'].shape[0] == 3
    assert second.videos['y.mpeg'].crc32 == first.videos['y.mpeg'].crc32


def test_without_room_for_the_store_the_images_remain(source, tmp_path, monkeypatch):
    convert(source, tmp_path / 'out')
    write_clip(source / 'a/x.gif', 48, 25)

    def fail(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(conversion, 'pack_frames', fail)
    with pytest.raises(
        SourceError, match=r'frame store of .* cannot be written .*No space left.*: free some space.*image files'
    ):
        convert(source, tmp_path / 'out')
    assert read_index(tmp_path / 'out') is None  # not the one from before the change
    assert len(read_annotations(tmp_path / 'out/annotations.json')['data_list'][0]['frames']) == 6
