import cv2
import numpy as np
import pytest
from PIL import Image

from uscl.convert.privacy.static_mask import find_static, static_pixels
from uscl.convert.videos.frame_decoding import decode_video
from uscl.convert.videos.store_settings import StoreSettings
from uscl.core.errors import ClipError

MASKED = StoreSettings(fps=3, size=999, mask_tolerance=8)


def scan(count=12, noise=0, seed=0):
    """A black picture with moving tissue on the right, and two words: on black, and on the tissue."""
    rng = np.random.default_rng(seed)
    words = np.zeros((96, 128), np.uint8)
    cv2.putText(words, 'DOE', (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    cv2.putText(words, 'ID7', (72, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    frames = []
    for _ in range(count):
        frame = np.zeros((96, 128), np.uint8)
        frame[10:, 56:] = rng.integers(60, 160, (86, 72))
        frame = np.where(words > 0, words, frame).astype(int)
        frame += rng.integers(-noise, noise + 1, frame.shape)
        frames.append(np.repeat(np.clip(frame, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
    tissue = np.zeros((96, 128), bool)
    tissue[10:, 56:] = True
    near = cv2.dilate(words, np.ones((7, 7))) > 0
    return frames, words > 0, tissue & ~near


@pytest.mark.parametrize('noise', [0, 4])
def test_text_and_background_go_tissue_stays(noise):
    frames, words, tissue = scan(noise=noise)
    mask = find_static('clip', frames, tolerance=8)
    assert mask.pixels[words].all()  # also on the tissue
    assert mask.pixels[:, :40].all()
    # the two pixels at the border belong to the margin
    inner = cv2.erode(tissue.astype(np.uint8), np.ones((7, 7))).astype(bool)
    assert not mask.pixels[inner].any()
    assert mask.share == mask.pixels.mean()
    blank = mask.blank(frames[0])
    assert not blank[mask.pixels].any() and (blank[~mask.pixels] == frames[0][~mask.pixels]).all()
    np.testing.assert_array_equal(frames[0], scan(noise=noise)[0][0])  # a copy was blanked


def test_tolerance_decides():
    frames, words, _ = scan(noise=6)
    assert find_static('clip', frames, tolerance=12).pixels[words].all()
    assert find_static('clip', frames, tolerance=2).pixels[words].mean() < 0.5


def test_any_channel_counts():
    low = np.zeros((8, 8, 3), np.uint8)
    high = low.copy()
    high[:, 4:, 2] = 50
    assert static_pixels(low, high, 8)[:, :4].all() and not static_pixels(low, high, 8)[:, 6:].any()


def test_specks_stay_and_strokes_go():
    spread = np.full((20, 20, 3), 99, np.uint8)
    spread[3:5, 3:5] = 0  # four pixels
    spread[12:14, 10:13] = 0  # six
    pixels = static_pixels(np.zeros_like(spread), spread, 8)
    assert not pixels[:8].any() and pixels[12:14, 10:13].all()
    assert 6 < pixels.sum() < 6 * 7  # a margin of two pixels, round


def test_picture_shows_where_and_does_not_repeat_the_text():
    frames, words, _ = scan()
    mask = find_static('clip', frames)
    picture = mask.draw()
    kept = ~mask.pixels
    np.testing.assert_array_equal(picture[kept], frames[-1][kept])  # not the mean, which would show what was missed
    red = picture[mask.pixels].astype(int)
    assert (red[:, 0] >= red[:, 1] + 100).all()
    block = picture[:24, :48].reshape(-1, 3)  # around the first word
    assert len(np.unique(block, axis=0)) <= 8  # blocks of 16 pixels: nothing of the strokes
    assert np.ptp(picture[:16, :16].astype(int), axis=(0, 1)).max() == 0
    assert words[:24, :48].any()


@pytest.mark.parametrize(
    ('frames', 'message'),
    [
        ([np.full((9, 9, 3), 7, np.uint8)] * 20, '100.0 % never moves'),
        (scan(2)[0], '2 frame'),
        ([], '0 frame'),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], 'differ in size'),
    ],
)
def test_what_cannot_be_masked_is_refused(frames, message):
    with pytest.raises(ClipError, match=message):
        find_static('clip', frames)


def test_few_sampled_frames_are_not_enough_where_there_are_more():
    frames, _, tissue = scan(60)
    few = find_static('clip', frames[:3], tolerance=30).pixels[tissue].mean()
    assert few > 3 * find_static('clip', frames[:3], 30, frames).pixels[tissue].mean()


@pytest.fixture
def source(tmp_path):
    source = tmp_path / 'src'
    source.mkdir()
    for number, frame in enumerate(scan()[0]):
        Image.fromarray(frame).save(source / f'{number}.png')
    return source


def test_stored_frames_are_blanked(source, tmp_path):
    picture = tmp_path / 'masked/src.png'
    decoded = decode_video(source, tmp_path / 'raw', MASKED, picture)
    frames, words, tissue = scan()
    assert decoded.shapes == [[12, 96, 128]] and picture.is_file()
    stored = np.fromfile(tmp_path / 'raw', np.uint8).reshape(decoded.shapes[0])
    assert not stored[:, words].any()
    below = (slice(None), slice(74, 90), slice(70, 120))
    assert (stored[below] == np.stack(frames)[..., 0][below]).all() and tissue[below[1:]].all()
    assert decoded.facts['settings']['mask_tolerance'] == 8
    assert decoded.facts['blanked_share'] == pytest.approx(find_static('x', frames).share, abs=1e-6)


def test_without_mask_there_is_no_picture(source, tmp_path):
    decoded = decode_video(source, tmp_path / 'raw', StoreSettings(fps=3, size=999), tmp_path / 'masked/src.png')
    assert 'blanked_share' not in decoded.facts and not (tmp_path / 'masked').exists()


def test_still_video_is_refused(tmp_path):
    source = tmp_path / 'src'
    source.mkdir()
    for number in range(4):
        Image.fromarray(scan(1)[0][0]).save(source / f'{number}.png')
    with pytest.raises(ClipError, match='convert it without --mask-static'):
        decode_video(source, tmp_path / 'raw', MASKED)
