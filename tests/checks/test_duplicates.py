import numpy as np
import pytest
from check_data import ALTERATIONS, texture, write_data

from uscl.checks import duplicates
from uscl.checks.clip_facts import read_clips
from uscl.data.fingerprints import COARSE, fingerprints


def pairs_of(folder):
    clips = list(read_clips(folder, threads=1))
    return {(clips[p.first].video_id, clips[p.second].video_id): p.kind for p in duplicates.find_duplicates(clips)}


@pytest.fixture(scope='module')
def originals():
    return {f'v{k}': (texture(k, 4 + k % 5, motion=1 + k % 2), 'a', f'p{k}') for k in range(12)}


def test_vectorised_matching_is_that_of_loops(originals, tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, '_BLOCK', 5)  # 12 clips: the last block is not full
    clips = list(read_clips(write_data(tmp_path, originals)))
    thumbnails = [clip.thumbnails for clip in clips]
    plain, mirrored = duplicates.coarse_similarities(thumbnails, thumbnails)
    parts = duplicates.coarse_similarities(thumbnails[:5], thumbnails[3:])
    np.testing.assert_allclose(parts, [plain[:5, 3:], mirrored[:5, 3:]], atol=1e-5)

    def slow(first, second, turn):
        best = -1
        for one, other in ((first, second), (second, first)):
            for query_crop, target_crop in duplicates.COARSE_CROPS:
                scores = []
                for k in np.linspace(0, len(one.thumbnails) - 1, duplicates.QUERIES).round().astype(int):
                    picture = one.thumbnails[k]
                    query = fingerprints(picture[None], COARSE, query_crop)[0]
                    if turn:
                        query = fingerprints(picture[None, :, ::-1], COARSE, query_crop)[0]
                    targets = [fingerprints(t[None], COARSE, target_crop)[0] for t in other.thumbnails]
                    scores.append(max(float(query @ target) for target in targets))
                best = max(best, np.median(scores))
        return best

    for i, j in [(0, 0), (0, 1), (3, 11), (7, 5), (10, 11), (4, 9)]:
        assert plain[i, j] == pytest.approx(slow(clips[i], clips[j], False), abs=1e-5)
        assert mirrored[i, j] == pytest.approx(slow(clips[i], clips[j], True), abs=1e-5)


def test_other_clips_of_one_scanner_are_no_copies(originals, tmp_path):
    assert pairs_of(write_data(tmp_path, originals)) == {}


@pytest.mark.parametrize('alteration', ALTERATIONS)
def test_altered_copies_are_found_and_nothing_else(alteration, originals, tmp_path):
    alter = ALTERATIONS[alteration]
    copies = {f'copy{k}': ([alter(f) for f in originals[f'v{k}'][0]], 'a', f'q{k}') for k in range(0, 12, 3)}
    found = pairs_of(write_data(tmp_path, originals | copies))
    assert found == {(f'v{k}', f'copy{k}'): 'near-equal' for k in range(0, 12, 3)}


@pytest.mark.parametrize(
    ('kind', 'alter'),
    [
        ('equal frames', lambda frames: frames),
        ('mirrored', lambda frames: [frame[:, ::-1] for frame in frames]),
        ('near-equal', lambda frames: frames[3:]),  # trimmed
        ('near-equal', lambda frames: frames[::2]),  # half the frame rate
        ('near-equal', lambda frames: [f for frame in frames for f in (frame, frame)]),
        ('near-equal', lambda frames: frames[::-1]),
    ],
)
def test_kinds_of_copies(kind, alter, originals, tmp_path):
    copies = {'copy': (alter(originals['v3'][0]), 'a', 'q')}
    assert pairs_of(write_data(tmp_path, originals | copies)) == {('v3', 'copy'): kind}


def test_crop_of_the_original_is_found_whichever_comes_first(originals, tmp_path):
    alter = ALTERATIONS['cropped 5 %']
    copy = {'copy': ([alter(f) for f in originals['v4'][0][2:]], 'a', 'q')}
    assert pairs_of(write_data(tmp_path, copy | originals)) == {('copy', 'v4'): 'near-equal'}


def test_black_clips_are_no_copies(tmp_path):
    black = [np.zeros((40, 50), np.uint8)] * 4
    assert pairs_of(write_data(tmp_path, {'a': (black, None), 'b': (black, None)})) == {}


def test_many_copies_are_a_chain(tmp_path):
    frames = texture(0, 3)
    found = pairs_of(write_data(tmp_path, {f'v{k}': (frames, None) for k in range(9)}))
    assert found == {(f'v{k}', f'v{k + 1}'): 'equal frames' for k in range(8)}


def test_frames_to_show_are_matching_ones(originals, tmp_path):
    frames = originals['v4'][0]  # 8 frames
    turned = [frame[:, ::-1] for frame in frames[2:6]]
    long, short = read_clips(write_data(tmp_path, {'long': (frames, 'a'), 'short': (turned, 'a')}))
    expected = [(2, 0), (3, 1), (4, 2), (5, 3)]
    assert duplicates.matching_frames(long, short, mirrored=True, count=4) == expected
    assert duplicates.matching_frames(short, long, mirrored=True, count=9) == [(b, a) for a, b in expected]
    assert duplicates.matching_frames(long, short, mirrored=True) == [expected[1], expected[3]]


def test_likeness_must_reach_the_threshold(originals, tmp_path):
    copies = {
        f'{name} again': ([ALTERATIONS['JPEG'](frame) for frame in clip[0]], 'a', clip[2])
        for name, clip in originals.items()
    }
    clips = list(read_clips(write_data(tmp_path, originals | copies)))
    found = duplicates.find_duplicates(clips)
    assert {pair.kind for pair in found} == {'near-equal'} and len(found) == len(originals)
    least = min(pair.similarity for pair in found)
    assert len(duplicates.find_duplicates(clips, threshold=least + 1e-6)) < len(found)
    assert duplicates.find_duplicates(clips, threshold=1.01) == []
