import csv
import hashlib
import multiprocessing
import os
import signal
import struct
import sys
import time

import cv2
import numpy as np
import pytest
from media_clips import draw, write_clip
from PIL import Image
from tool_module import load_tool

from uscl.clips.discovery import find_sources
from uscl.clips.source_findings import SourceFindings
from uscl.clips.video_source import VideoSource
from uscl.convert.videos import frame_decoding
from uscl.convert.videos import video_conversion as conversion
from uscl.convert.videos.store_settings import StoreSettings
from uscl.convert.videos.video_conversion import convert_sources
from uscl.core.command_line import as_command
from uscl.core.errors import SourceError
from uscl.data.annotations import read_annotations
from uscl.data.frame_store import damaged_videos, read_index
from uscl.data.video_folder import VideoFolder

SETTINGS = StoreSettings(fps=3, size=32, min_frames=1)
ALL = ['a/x.gif', 'b/clip2.avi', 'b/clip10.mp4', 'y.mpeg']


@pytest.fixture
def source(tmp_path):
    for name in ('b/clip10.mp4', 'b/clip2.avi', 'a/x.gif', 'y.mpeg'):
        write_clip(tmp_path / 'src' / name, 24, 25)
    return tmp_path / 'src'


def convert(source, out, workers=1, **kwargs):
    return convert_sources(find_sources(source), out, SETTINGS, workers=workers, **kwargs)


def content(out):
    """What a folder says and holds, whatever its shards are called: annotation, checksums and facts."""
    index = read_index(out)
    assert damaged_videos(out) == {}
    videos = {name: (video.shapes, video.crc32, video.facts) for name, video in index.videos.items()}
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob('*') if path.parent.name != 'store')
    return (out / 'annotations.json').read_text(), videos, names


def places(out):
    return {name: (video.shard, video.offset) for name, video in read_index(out).videos.items()}


def test_annotations(source, tmp_path):
    assert convert(source, tmp_path / 'out', probe='convex') == 0
    annotations = read_annotations(tmp_path / 'out/annotations.json')
    assert annotations['metainfo']['classes'] == ['a', 'b']
    settings = {
        'fps': 3,
        'size': 32,
        'color': 'auto',
        'mask_tolerance': None,
        'min_frames': 1,
        'third_axis_time': False,
    }
    settings |= {'third_axis_time': False, 'probe': 'convex'}
    assert annotations['metainfo']['settings'] == settings
    entries = annotations['data_list']
    assert [(entry['video_id'], entry['label'], entry['num_frames']) for entry in entries] == [
        ('a/x.gif', 'a', 3),
        ('b/clip2.avi', 'b', 3),
        ('b/clip10.mp4', 'b', 3),
        ('y.mpeg', None, 3),
    ]
    for entry in entries:
        digest = hashlib.sha256((source / entry['video_id']).read_bytes()).hexdigest()
        assert (entry['source'], entry['sha256'], entry['fps'], entry['assumed']) == (entry['video_id'], digest, 3, [])
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['annotations.json', 'store']


def test_a_turned_and_a_short_clip_are_told_of(source, tmp_path, capsys):
    content = bytearray((source / 'b/clip10.mp4').read_bytes())
    at = content.index(b'tkhd') + 44  # the matrix
    content[at : at + 20] = struct.pack('>5i', 0, 1 << 16, 0, -1 << 16, 0)
    (source / 'b/clip10.mp4').write_bytes(content)
    assert convert_sources(find_sources(source), tmp_path / 'out', StoreSettings(size=32), workers=1) == 0
    printed = capsys.readouterr().out
    assert '\n1 clip turned: b/clip10.mp4\n' in printed
    assert (
        '\n4 clips too short for the rate, at least 8 frames taken: a/x.gif, b/clip2.avi, b/clip10.mp4 and ' in printed
    )
    entries = read_annotations(tmp_path / 'out/annotations.json')['data_list']
    assert [entry['turned'] for entry in entries] == [None, None, 'rotated 90°', None]
    assert [entry['rescaled'] for entry in entries] == [[]] * 4 and {entry['num_frames'] for entry in entries} == {8}
    assert all(entry['fps'] == pytest.approx(7 / 23 * 25, rel=0.01) for entry in entries)


def test_patient_split_and_given_classes(source, tmp_path):
    videos = [VideoSource('y.mpeg', source / 'y.mpeg', 'b', 'p7', 'val')]
    assert convert_sources(SourceFindings(videos), tmp_path / 'out', SETTINGS, ['c', 'b'], workers=1) == 0
    annotations = read_annotations(tmp_path / 'out/annotations.json')
    assert annotations['metainfo']['classes'] == ['c', 'b']
    assert (annotations['data_list'][0]['patient_id'], annotations['data_list'][0]['split']) == ('p7', 'val')


def test_the_same_for_any_number_of_workers_and_any_folder(source, tmp_path):
    convert(source, tmp_path / 'one')
    convert(source, tmp_path / 'deeper/two', workers=2)
    assert content(tmp_path / 'one') == content(tmp_path / 'deeper/two')
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in (tmp_path / 'one').rglob('*.json'))


def test_second_run_redoes_only_what_changed(source, tmp_path, capsys):
    out = tmp_path / 'out'
    convert(source, out)
    assert '4 converted now, 0 complete already, 0 skipped.' in capsys.readouterr().out
    before, first = places(out), content(out)
    files = {path: path.read_bytes() for path in (out / 'store').glob('*.safetensors')}
    convert(source, out)
    assert '0 converted now, 4 complete already, 0 skipped.' in capsys.readouterr().out
    assert places(out) == before and content(out) == first
    assert {path: path.read_bytes() for path in (out / 'store').glob('*.safetensors')} == files
    write_clip(source / 'b/new.avi', 24, 25)
    convert(source, out)
    assert '1 converted now, 4 complete already, 0 skipped.' in capsys.readouterr().out
    assert {name: place for name, place in places(out).items() if name in before} == before
    assert all(path.read_bytes() == content_ for path, content_ in files.items())  # nothing is moved for one clip more
    write_clip(source / 'a/x.gif', 12, 25)
    convert(source, out)
    assert '1 converted now, 4 complete already, 0 skipped.' in capsys.readouterr().out
    assert read_index(out).videos['a/x.gif'].num_frames == 2
    convert(source, tmp_path / 'fresh')
    assert content(out) == content(tmp_path / 'fresh')


def test_a_clip_that_is_gone_goes_and_leaves_no_byte(source, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    convert(source, out)
    frames = VideoFolder(out)[0]['frames'].copy()
    (source / 'a/x.gif').unlink()
    monkeypatch.setattr(conversion, 'decode_video', lambda *_: pytest.fail('decoded again'))
    convert(source, out)
    assert set(places(out)) == set(ALL) - {'a/x.gif'} and damaged_videos(out) == {}
    assert all(frames[1].tobytes() not in path.read_bytes() for path in (out / 'store').iterdir())


def test_a_source_that_cannot_be_reached_takes_nothing_along(source, tmp_path):
    out = tmp_path / 'out'
    convert(source, out)
    before = content(out)[:2]
    for path in source.rglob('*.*'):
        path.write_bytes(b'')
    assert convert(source, out) == 1
    assert content(out)[:2] == before
    assert convert(source, out, remove_others=True) == 1  # as where names are to be hidden
    assert not (out / 'annotations.json').exists() and not (out / 'store').exists()


def test_damaged_bytes_are_converted_again(source, tmp_path, capsys):
    out = tmp_path / 'out'
    convert(source, out)
    before, video = content(out), read_index(out).videos['y.mpeg']
    with (out / 'store' / video.shard).open('r+b') as file:
        file.seek(video.offset + 9)
        byte = file.read(1)
        file.seek(video.offset + 9)
        file.write(bytes([byte[0] ^ 1]))
    capsys.readouterr()
    convert(source, out)
    assert '1 converted now, 3 complete already' in capsys.readouterr().out
    assert content(out) == before


def test_images_are_kept_if_asked_for(source, tmp_path):
    out = tmp_path / 'out'
    convert(source, out, keep_images=True)
    images = {path.name.split('-')[0]: sorted(path.iterdir()) for path in (out / 'frames').iterdir()}
    folder = VideoFolder(out)
    for k in range(len(folder)):
        files = images[folder.entries[k]['video_id'].replace('/', '__')]
        for frame, file in zip(folder[k]['frames'], files, strict=True):
            np.testing.assert_array_equal(cv2.imread(str(file), cv2.IMREAD_ANYCOLOR), frame)


def test_a_folder_of_an_older_version_is_refused(source, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    old = '{"metainfo": {"dataset_type": "VideoClusters", "format_version": 1, "classes": []}, "data_list": []}'
    (out / 'annotations.json').write_text(old)
    with pytest.raises(SourceError, match=r'version 1.*reads version 2.*Nothing was written: give another --out'):
        convert(source, out)
    assert [path.name for path in out.iterdir()] == ['annotations.json']


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
    files = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert files == ['skipped.csv', 'store'] and not (tmp_path / 'out/annotations.json').exists()


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
    (frame,) = VideoFolder(tmp_path / 'out')[0]['frames']
    np.testing.assert_array_equal(frame, draw(5, 32)[..., 0])


def test_clip_that_kills_its_reader_is_the_only_loss(source, tmp_path, monkeypatch, capsys):
    original = conversion.decode_video

    def crash_on_gif(path, *args):
        if path.suffix == '.gif':
            os.kill(os.getpid(), signal.SIGKILL)
        return original(path, *args)

    monkeypatch.setattr(conversion, 'decode_video', crash_on_gif)
    assert convert(source, tmp_path / 'out', workers=2) == 0
    assert 'skipped a/x.gif: its reader crashed' in capsys.readouterr().out
    assert set(places(tmp_path / 'out')) == set(ALL) - {'a/x.gif'}
    assert not list((tmp_path / 'out/store').glob('.*'))


def test_odd_error_loses_one_clip(source, tmp_path, monkeypatch, capsys):
    original = conversion.decode_video

    def fail_on_gif(path, *args):
        if path.suffix == '.gif':
            raise RuntimeError('on purpose')
        return original(path, *args)

    monkeypatch.setattr(conversion, 'decode_video', fail_on_gif)
    assert convert(source, tmp_path / 'out') == 0
    assert 'skipped a/x.gif: could not be converted (RuntimeError: on purpose)' in capsys.readouterr().out


def test_full_disk_stops_the_run(source, tmp_path, monkeypatch):
    def fill_disk(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(conversion, 'decode_video', fill_disk)
    with pytest.raises(SourceError, match=r'cannot write to .*No space left.*free some space'):
        convert(source, tmp_path / 'out')


def test_out_is_a_file(source, tmp_path):
    (tmp_path / 'out').touch()
    with pytest.raises(SourceError, match='cannot write to'):
        convert(source, tmp_path / 'out')


def start_slowly(source, out, monkeypatch):
    """Start a run in a process group of its own that takes 0.2 s a frame; return when the second video is under way."""
    original = frame_decoding.prepare_frame

    def shrink_slowly(*args):
        time.sleep(0.2)
        return original(*args)

    def run():
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.exit(as_command()(convert)(source, out))

    with monkeypatch.context() as patch:
        patch.setattr(frame_decoding, 'prepare_frame', shrink_slowly)
        process = multiprocessing.get_context('fork').Process(target=run)
        process.start()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        is_done = any(journal.read_text() for journal in out.glob('store/*.jsonl'))
        if is_done and list(out.glob('store/.b__clip2*.tmp')):
            break
        time.sleep(0.01)
    return process


def check_goes_on(source, out, capsys, done):
    """A further run keeps the complete videos and ends where an undisturbed one does."""
    capsys.readouterr()
    assert convert(source, out) == 0
    assert f'{4 - done} converted now, {done} complete already' in capsys.readouterr().out
    convert(source, out.with_name('fresh'))
    assert content(out) == content(out.with_name('fresh'))
    assert {path.suffix for path in (out / 'store').iterdir()} == {'.json', '.safetensors'}


@pytest.mark.skipif(sys.platform != 'linux', reason='uses fork')
def test_killed_run_goes_on(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    process = start_slowly(source, out, monkeypatch)
    os.killpg(process.pid, signal.SIGKILL)
    process.join(30)
    assert not (out / 'annotations.json').exists()
    check_goes_on(source, out, capsys, 1)


@pytest.mark.skipif(sys.platform != 'linux', reason='uses fork')
def test_ctrl_c_keeps_what_is_finished(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    process = start_slowly(source, out, monkeypatch)
    os.killpg(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130 and not (out / 'annotations.json').exists()
    check_goes_on(source, out, capsys, 1)


@pytest.mark.skipif(sys.platform != 'linux', reason='uses fork')
def test_a_second_run_into_the_folder_is_refused_and_the_first_ends_well(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    process = start_slowly(source, out, monkeypatch)
    assert load_tool('tools/dataset_converters/videos_to_clusters.py').main([str(source), '--out', str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f'error: {out} is in use by process {process.pid} on ') and error.count('\n') == 1
    process.join(30)
    assert process.exitcode == 0
    convert(source, out.with_name('fresh'))
    assert content(out) == content(out.with_name('fresh'))
