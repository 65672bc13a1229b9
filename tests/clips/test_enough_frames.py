from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_clips import index_of, write_clip

from uscl.clips import open_clip
from uscl.clips.clip import Clip


class FakeClip(Clip):
    """Frames that are numbers, shown at given times."""

    def __init__(self, shown, fps, at_least=1):
        super().__init__('fake', fps, at_least)
        self.shown, self.rates = shown, []

    def chosen(self, fps):
        starts = [int(time * fps) for time in self.shown] if fps else range(len(self.shown))
        return [k for k, start in enumerate(starts) if k == 0 or start > starts[k - 1]]

    def decode(self, fps):
        self.rates.append(fps)
        for k in self.chosen(fps):
            yield np.full((1, 1), k)
        places = self.chosen(fps)
        kept = SimpleNamespace(times=[self.shown[k] for k in places], places=places)
        self.report(kept, frames_decoded=len(self.shown))


def numbers(frames):
    return [int(frame[0, 0]) for frame in frames]


@given(
    gaps=st.lists(st.integers(1, 400), max_size=80),
    fps=st.integers(1, 20),
    count=st.integers(2, 20),
    start=st.integers(0, 9),
)
def test_enough_frames_are_given_and_no_clip_with_enough_is_changed(gaps, fps, count, start):
    shown = [(start + sum(gaps[:k])) / 1000 for k in range(len(gaps) + 1)]
    clip = FakeClip(shown, fps, count)
    frames = numbers(clip)
    sampled = clip.chosen(fps)
    assert clip.times == [shown[frame] for frame in frames] and clip.places == frames
    if len(sampled) >= min(count, len(shown)):
        assert frames == sampled and clip.rates == [fps] and clip.facts == {'frames_decoded': len(shown)}
        return
    assert clip.rates == [fps, None] and len(frames) == min(count, len(shown))
    assert (frames[0], frames[-1]) == (0, len(shown) - 1) and len(set(np.diff(frames))) <= 2
    points = np.linspace(0, len(shown) - 1, len(frames))  # each frame is the nearest to its point; two may be as near
    assert np.abs(np.array(frames) - points).max() <= 0.5 + 1e-9
    rate = clip.facts.pop('short_clip_fps')
    assert rate == pytest.approx((len(frames) - 1) / (clip.times[-1] - clip.times[0]), rel=1e-4)
    assert clip.facts == {'frames_decoded': len(shown)}


def test_frames_are_handed_on_before_the_clip_ends():
    seen = []

    class Watched(FakeClip):
        def decode(self, fps):
            for frame in super().decode(fps):
                seen.extend(numbers([frame]))
                yield frame

    frames = iter(Watched([k / 10 for k in range(50)], 10, 8))
    assert (numbers([next(frames)]), seen) == ([0], list(range(8)))
    assert numbers(next(frames) for _ in range(9)) == list(range(1, 10)) and seen == list(range(10))


class TestOpenClip:
    def test_a_video_of_two_thirds_of_a_second(self, tmp_path):
        path = write_clip(tmp_path / 'a.mp4', 20, 30)
        assert [index_of(frame) for frame in open_clip(path, 3)] == [0, 10]
        clip = open_clip(path, 3, 8)
        assert [index_of(frame) for frame in clip] == [0, 3, 5, 8, 11, 14, 16, 19]
        np.testing.assert_allclose(np.array(clip.times) * 30, [0, 3, 5, 8, 11, 14, 16, 19], atol=1e-6)
        fps = pytest.approx(7 / 19 * 30, abs=1e-4)
        assert clip.path == path and clip.facts == {'frames_decoded': 20, 'frame_rate': 30.0, 'short_clip_fps': fps}
        assert [index_of(frame) for frame in clip] == [0, 3, 5, 8, 11, 14, 16, 19]

    def test_a_dicom_cine(self, tmp_path):
        pytest.importorskip('pydicom')
        from dicom_files import write_dicom

        stored = np.arange(20, dtype=np.uint8)[:, None, None] * np.full((1, 8, 8), 10, np.uint8)
        clip = open_clip(write_dicom(tmp_path / 'a.dcm', stored, FrameTime='33.33'), 3, 8)
        assert [frame[0, 0, 0] // 10 for frame in clip] == [0, 3, 5, 8, 11, 14, 16, 19]
        assert clip.times == pytest.approx([k * 0.03333 for k in (0, 3, 5, 8, 11, 14, 16, 19)])
        single = open_clip(write_dicom(tmp_path / 'b.dcm', stored[:1]), 3, 8)
        assert len(list(single)) == 1 and single.times == [0] and 'short_clip_fps' not in single.facts

    def test_every_frame_of_a_clip_with_fewer(self, tmp_path):
        clip = open_clip(write_clip(tmp_path / 'a.avi', 5, 25), 3, 8)
        assert [index_of(frame) for frame in clip] == [0, 1, 2, 3, 4] and clip.facts['short_clip_fps'] == 25

    def test_a_long_clip_and_one_of_which_all_is_wanted_stay(self, tmp_path):
        path = write_clip(tmp_path / 'a.avi', 60, 20)
        for fps in (3, None):
            few, enough = open_clip(path, fps), open_clip(path, fps, 8)
            np.testing.assert_array_equal(list(enough), list(few))
            assert (enough.times, enough.facts) == (few.times, few.facts)
