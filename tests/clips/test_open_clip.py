import os
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from media_clips import CODECS, draw, index_of, write_clip, write_frames
from PIL import Image

from uscl.clips import clip, open_clip
from uscl.clips.frame_limits import LARGEST_FRAME
from uscl.core.errors import ClipError

UNEVEN = [0, 0.1, 0.2, 0.9, 1.0, 1.1, 3.0, 3.05, 3.1, 3.4, 3.7, 3.72, 5.0]
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.PNG')


def read(path, fps=None):
    frames = list(clip := open_clip(path, fps))
    assert all(frame.dtype == np.uint8 and frame.shape[2:] == (3,) for frame in frames)
    return frames, clip


def decode(path):
    """All frames of a video and their times, by PyAV alone."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [frame.to_ndarray(format='rgb24') for frame in frames], [frame.time for frame in frames]


def sampled(times, fps):
    """Slow reference: walk the intervals of 1 / fps, and take the first frame in each."""
    times = [Fraction(str(time)) - Fraction(str(times[0])) for time in times]
    intervals = range(int(times[-1] * fps) + 1)
    inside = [[k for k, time in enumerate(times) if i <= time * fps < i + 1] for i in intervals]
    return [found[0] for found in inside if found]


def refusal(path):
    """Why a path is refused; the message has to name it."""
    with pytest.raises(ClipError) as caught:
        list(open_clip(path))
    assert caught.value.path == path and str(caught.value).startswith(f'{path}: ')
    return caught.value.reason


class TestVideos:
    @pytest.mark.parametrize('suffix', CODECS)
    def test_every_frame_is_as_pyav_decodes_it(self, tmp_path, suffix):
        path = write_clip(tmp_path / f'a{suffix}', 12, 25, color=True)
        frames, clip = read(path)
        expected, times = decode(path)
        np.testing.assert_array_equal(frames, expected)
        assert [index_of(frame) for frame in frames] == list(range(12))
        for k in range(1, 12):  # FFmpeg guesses stamps of MPEG, and gives two frames the same
            times[k] = times[k] if times[k] > times[k - 1] + 1e-9 else times[k - 1] + 1 / 25
        assert clip.times == pytest.approx(times)
        assert clip.facts['frames_decoded'] == 12 and 'assumed' not in clip.facts

    @pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.gif'])
    def test_times_of_a_variable_rate(self, tmp_path, suffix):
        path = write_clip(tmp_path / f'a{suffix}', rate=20, times=UNEVEN)
        _, clip = read(path)
        assert clip.times == pytest.approx(UNEVEN, abs=1e-6)
        frames, clip = read(path, 3)
        kept = sampled(UNEVEN, 3)
        assert [index_of(frame) for frame in frames] == kept == [0, 3, 4, 6, 9, 10, 12]
        assert clip.times == pytest.approx([UNEVEN[k] for k in kept], abs=1e-6)
        assert clip.facts['frames_decoded'] == len(UNEVEN)

    @pytest.mark.parametrize('fps', [2, 7.5, 25, 1000])
    def test_a_rate_keeps_the_first_of_every_interval(self, tmp_path, fps):
        path = write_clip(tmp_path / 'a.avi', 30, 25)
        every, clip = read(path)
        kept = sampled([k / 25 for k in range(30)], Fraction(fps))
        frames, some = read(path, fps)
        np.testing.assert_array_equal(frames, [every[k] for k in kept])
        assert some.times == [clip.times[k] for k in kept]

    def test_times_are_on_the_clips_own_clock(self, tmp_path):
        late = [7 + k / 10 for k in range(12)]
        path = write_clip(tmp_path / 'a.mkv', rate=10, times=late)
        _, clip = read(path)
        assert clip.times == pytest.approx(late)
        assert read(path, 5)[1].times == pytest.approx(late[::2])

    def test_it_can_be_read_again_and_is_not_done_before_its_end(self, tmp_path):
        clip = open_clip(write_clip(tmp_path / 'a.mp4', 6, 25))
        next(iter(clip))
        assert clip.facts == {} and clip.times is None
        first, second = list(clip), list(clip)
        np.testing.assert_array_equal(first, second)
        assert len(clip.times) == 6 and all(after > before for before, after in pairwise(clip.times))

    def test_a_name_that_says_nothing(self, tmp_path):
        path = write_clip(tmp_path / 'a.mp4', 4, 25)
        expected, _ = read(path)
        for name in ('a.wmv', 'a.7', 'clip'):
            np.testing.assert_array_equal(read(path.rename(path.with_name(name)))[0], expected)
            path = path.with_name(name)


class TestDicom:
    @pytest.fixture(autouse=True)
    def _needs_pydicom(self):
        pytest.importorskip('pydicom')

    @pytest.mark.parametrize('name', ['a.dcm', 'IM_0001', 'a.DICOM'])
    @pytest.mark.parametrize('shape', [(6, 20, 26), (6, 20, 26, 3), (1, 20, 26)])
    def test_every_frame_is_as_stored(self, tmp_path, shape, name):
        import pydicom
        from dicom_files import write_dicom

        stored = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        photometric = 'RGB' if len(shape) == 4 else 'MONOCHROME2'
        path = write_dicom(tmp_path / name, stored, photometric, FrameTime='40')
        frames, clip = read(path)
        expected = pydicom.dcmread(path).pixel_array.reshape(shape)
        expected = expected if len(shape) == 4 else np.repeat(expected[..., None], 3, axis=-1)
        np.testing.assert_array_equal(frames, expected)
        assert clip.times == pytest.approx([0.04 * k for k in range(len(stored))])
        assert clip.facts == {'frames_decoded': len(stored), 'frame_rate': 25.0}

    def test_times_of_a_variable_rate(self, tmp_path):
        from dicom_files import write_dicom

        stored = np.random.default_rng(0).integers(0, 256, (len(UNEVEN), 8, 8), dtype=np.uint8)
        steps = [0, *(round(1000 * (after - before)) for before, after in pairwise(UNEVEN))]
        path = write_dicom(tmp_path / 'a.dcm', stored, FrameTimeVector=steps, FrameIncrementPointer=0x00181065)
        assert read(path)[1].times == pytest.approx(UNEVEN)
        frames, clip = read(path, 3)
        kept = sampled(UNEVEN, 3)
        np.testing.assert_array_equal([frame[..., 0] for frame in frames], stored[kept])
        assert clip.times == pytest.approx([UNEVEN[k] for k in kept])

    def test_without_times_they_start_at_0_at_an_assumed_rate(self, tmp_path):
        from dicom_files import write_dicom

        _, clip = read(write_dicom(tmp_path / 'a.dcm', np.zeros((4, 8, 8), np.uint8)))
        assert clip.times == pytest.approx([0, 0.04, 0.08, 0.12]) and clip.facts['assumed'] == ['frame rate']

    def test_an_empty_or_cut_file(self, tmp_path):
        from dicom_files import write_dicom

        path = write_dicom(tmp_path / 'a.dcm', np.zeros((4, 40, 40), np.uint8))
        path.write_bytes(path.read_bytes()[:-3000])
        assert refusal(path) == 'truncated: it holds 2 of 4 frames; copy or export it again'
        path.write_bytes(b'')
        assert refusal(path) == 'the file is empty (0 bytes): copy or export it again'
        path.write_text('notes ' * 99)
        assert refusal(path).endswith('export it again, or rename it')


class TestImages:
    @pytest.mark.parametrize('fps', [None, 1])
    def test_a_folder_is_kept_whole_in_natural_order(self, tmp_path, fps):
        names = [f'f{k}{suffix}' for k, suffix in enumerate(SUFFIXES, 7)]
        for k, name in enumerate(names):
            Image.fromarray(draw(k, color=k % 2 == 0)).save(tmp_path / name)
        frames, clip = read(tmp_path, fps)
        expected = [np.asarray(Image.open(tmp_path / name).convert('RGB')) for name in names]
        np.testing.assert_array_equal(frames, expected)
        assert clip.times is None and clip.facts == {'frames_decoded': len(names)}

    @pytest.mark.parametrize('suffix', SUFFIXES)
    @pytest.mark.parametrize('mode', ['L', 'RGB'])
    def test_one_image_is_one_frame(self, tmp_path, suffix, mode):
        Image.fromarray(draw(3, color=True)).convert(mode).save(tmp_path / f'a{suffix}')
        (frame,), clip = read(tmp_path / f'a{suffix}', 3)
        np.testing.assert_array_equal(frame, np.asarray(Image.open(clip.path).convert('RGB')))
        np.testing.assert_array_equal([frame], read(tmp_path)[0])
        assert clip.times is None and clip.facts == {'frames_decoded': 1}

    @pytest.mark.parametrize('fps', [None, 1])
    @pytest.mark.parametrize('suffix', ['.tif', '.png', '.webp'])
    def test_pages_are_frames(self, tmp_path, suffix, fps):
        pages = [Image.fromarray(draw(k)) for k in (5, 9, 2)]
        pages[0].save(tmp_path / f'a{suffix}', save_all=True, append_images=pages[1:], lossless=True)
        frames, clip = read(tmp_path / f'a{suffix}', fps)
        np.testing.assert_array_equal(frames, [np.asarray(page.convert('RGB')) for page in pages])
        assert clip.times is None and clip.facts == {'frames_decoded': 3}

    def test_pages_are_no_frame_of_a_folder(self, tmp_path):
        pages = [Image.fromarray(draw(k)) for k in (5, 9)]
        pages[0].save(tmp_path / '1.png')
        pages[0].save(tmp_path / '2.tif', save_all=True, append_images=pages[1:])
        assert refusal(tmp_path).startswith('image 2.tif has several pages')
        (tmp_path / '2.tif').unlink()
        assert len(read(tmp_path)[0]) == 1

    @pytest.mark.parametrize('suffix', ['.png', '.jpg', '.bmp', '.tif'])
    def test_cut_off(self, tmp_path, suffix):
        path = tmp_path / f'a{suffix}'
        Image.fromarray(draw(5)).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        reason = refusal(path)
        assert reason.startswith('it cannot be read (') and reason.endswith('): replace or remove it')
        reason = refusal(tmp_path)
        assert reason.startswith(f'image a{suffix} cannot be read (') and reason.endswith('): replace or remove it')

    def test_a_folder_without_images(self, tmp_path):
        (tmp_path / 'below').mkdir()
        Image.fromarray(draw(5)).save(tmp_path / 'below' / 'a.png')
        (tmp_path / 'notes.txt').write_text('notes')
        reason = refusal(tmp_path)
        assert reason.startswith('the folder holds no image (.bmp, .jpeg, ')
        assert reason.endswith('): give one that directly holds images')


class TestRefusals:
    @pytest.mark.parametrize('name', ['a.mp4', 'a.dcm', 'a.png', 'a', 'none/a.mp4'])
    def test_nothing_there(self, tmp_path, name):
        assert refusal(tmp_path / name) == 'it does not exist: check the path'

    def test_names_that_no_system_takes(self, tmp_path):
        assert refusal(tmp_path / ('x' * 300)).endswith(('check the path and its rights', 'check the path'))

    @pytest.mark.parametrize('name', ['a.mp4', 'a.xyz', 'a', 'a.dcm'])
    def test_empty_file(self, tmp_path, name):
        (tmp_path / name).touch()
        assert refusal(tmp_path / name).startswith('the file is empty (0 bytes): copy or ')

    def test_text_that_is_named_as_a_video(self, tmp_path):
        (tmp_path / 'a.mp4').write_text('notes\n' * 999)
        reason = refusal(tmp_path / 'a.mp4')
        assert reason.startswith('not a video that FFmpeg can read (')
        assert reason.endswith('): copy or download it again, or leave it out')

    @pytest.mark.parametrize('name', ['a.txt', 'a', 'a.raw'])
    def test_an_unknown_kind(self, tmp_path, name):
        (tmp_path / name).write_text('notes\n' * 999)
        reason = refusal(tmp_path / name)
        assert reason.endswith('): give a video, a DICOM file, an image or a folder of images')

    @pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='this system has no named pipes')
    def test_a_pipe_is_not_waited_for(self, tmp_path):
        for name in ('a', 'a.mp4', 'a.png', 'a.dcm'):
            os.mkfifo(tmp_path / name)
            assert refusal(tmp_path / name) == 'it is neither a file nor a folder: give a clip'

    @pytest.mark.parametrize('cut', [0.3, 0.8])
    def test_a_cut_video(self, tmp_path, cut):
        path = write_clip(tmp_path / 'a.avi')
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
        reason = refusal(path)
        assert reason.startswith('truncated: ') and reason.endswith('; copy or download it again')

    @pytest.mark.parametrize('fps', [0, -1, float('nan'), float('inf')])
    def test_rates(self, tmp_path, fps):
        with pytest.raises(ValueError, match='fps should be above 0'):
            open_clip(tmp_path, fps)


class TestLimits:
    @pytest.mark.parametrize('kind', ['folder', 'video', 'tiff', 'dicom'])
    def test_frames(self, tmp_path, monkeypatch, kind):
        path = tmp_path / {'folder': 'a', 'video': 'a.avi', 'tiff': 'a.tif', 'dicom': 'a.dcm'}[kind]
        if kind == 'folder':
            path.mkdir()
            for k in range(6):
                Image.fromarray(draw(k)).save(path / f'{k}.png')
        elif kind == 'video':
            write_clip(path, 6, 25)
        elif kind == 'tiff':
            pages = [Image.fromarray(draw(k)) for k in range(6)]
            pages[0].save(path, save_all=True, append_images=pages[1:])
        else:
            pytest.importorskip('pydicom')
            from dicom_files import write_dicom

            write_dicom(path, np.zeros((6, 8, 8), np.uint8))
        monkeypatch.setattr(clip, 'MOST_FRAMES', 6)
        assert len(read(path)[0]) == 6
        monkeypatch.setattr(clip, 'MOST_FRAMES', 5)
        assert refusal(path).startswith('it has more than 5 frames')
        if kind in ('video', 'dicom'):
            assert len(read(path, 5)[0]) == 2  # what counts is what is given

    @pytest.mark.parametrize('side', [8192, 20000])
    def test_pixels_of_an_image(self, tmp_path, side):
        Image.new('1', (side, side)).save(tmp_path / 'a.png')
        for path in (tmp_path / 'a.png', tmp_path):
            assert f'more than {LARGEST_FRAME}' in refusal(path)


def test_the_same_frames_from_every_kind(tmp_path):
    pytest.importorskip('pydicom')
    from dicom_files import write_dicom

    frames = np.stack([draw(k, color=True) for k in range(5)])
    write_frames(tmp_path / 'a.mkv', frames, 5)
    write_dicom(tmp_path / 'a.dcm', frames, 'RGB', FrameTime='200')
    (tmp_path / 'a').mkdir()
    for k, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / 'a' / f'{k}.png')
    for name in ('a.mkv', 'a.dcm', 'a'):
        np.testing.assert_array_equal(read(tmp_path / name)[0], frames)


def test_the_door_imports_no_decoder():
    code = "import sys, uscl.clips; print(*{'av', 'cv2', 'numpy', 'pydicom', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
