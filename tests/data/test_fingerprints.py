import cv2
import numpy as np
import pytest
from check_data import ALTERATIONS, texture
from scipy.fft import dctn

from uscl.data.fingerprints import FINE, NO_CROP, SIDE, cosine_basis, fingerprints, mirror, thumbnail


def thumbnails(frames):
    return np.stack([thumbnail(frame) for frame in frames])


@pytest.mark.parametrize('num', [4, 8, 16])
def test_fingerprint_is_the_weighted_cosine_transform(num):
    pictures = thumbnails(texture(0, 3))
    expected = []
    for picture in pictures:
        low = dctn(picture.astype(float), norm='ortho')[:num, :num] * np.hypot(*np.mgrid[:num, :num])
        expected.append(low.ravel()[1:] / np.linalg.norm(low.ravel()[1:]))
    np.testing.assert_allclose(fingerprints(pictures, num), expected, atol=1e-5)


@pytest.mark.parametrize(('before', 'after'), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.05), (0.04, 0.06)])
def test_basis_of_a_crop_is_that_of_the_interpolated_line(before, after):
    line = np.random.default_rng(0).normal(size=SIDE)
    at = before * SIDE + (1 - before - after) * (np.arange(SIDE) + 0.5) - 0.5
    stretched = np.interp(at, np.arange(SIDE), line)
    np.testing.assert_allclose(
        cosine_basis(8, before, after) @ line, cosine_basis(8) @ stretched, atol=1e-5
    )  # fmt: skip


@pytest.mark.parametrize('num', [8, 16])
def test_mirrored_fingerprint_is_that_of_the_mirrored_picture(num):
    pictures = thumbnails(texture(1, 4))
    np.testing.assert_allclose(mirror(fingerprints(pictures, num)), fingerprints(pictures[..., ::-1], num), atol=1e-5)


@pytest.mark.parametrize('alteration', [name for name in ALTERATIONS if 'cropped' not in name])
@pytest.mark.parametrize('seed', range(5))
def test_altered_frames_stay_close_and_others_do_not(alteration, seed):
    frame = texture(seed, 1)[0]
    altered, other = ALTERATIONS[alteration](frame), texture(seed + 100, 1)[0]
    one, two, three = fingerprints(thumbnails([frame, altered, other]))
    assert one @ two > 0.9
    assert one @ three < 0.7


@pytest.mark.parametrize('share', [0.03, 0.05, 0.08])
def test_crop_of_the_fingerprint_undoes_a_crop_of_the_frame(share):
    frame = cv2.resize(texture(2, 1)[0], (300, 300))
    edge = round(300 * share)
    cut = frame[edge:-edge, edge:]
    whole, cropped = (fingerprints(thumbnails([frame]), FINE, c) for c in (NO_CROP, (share, share, share, 0)))
    target = fingerprints(thumbnails([cut]))
    assert (cropped @ target.T).item() > 0.98 > (whole @ target.T).item()


@pytest.mark.parametrize('picture', [np.zeros((40, 50)), np.full((40, 50), 90), np.eye(40) > 2])
def test_blank_frame_is_similar_to_nothing(picture):
    assert not fingerprints(thumbnails([picture.astype(np.uint8)])).any()
