import base64

import numpy as np
import pytest
from check_data import ALTERATIONS, texture

from uscl.checks.seen_clips import find_copies
from uscl.data.fingerprints import COARSE, FINE, NO_CROP, as_thumbnails, crop_fingerprints, fingerprints, thumbnail
from uscl.data.signatures import FRAMES, read_signature, sign_clip


def thumbnails(frames):
    return np.stack([thumbnail(frame) for frame in frames])


def test_fingerprints_survive_the_way_through_thumbnails():
    prints = fingerprints(thumbnails(texture(0)))
    np.testing.assert_allclose(fingerprints(as_thumbnails(prints)), prints, atol=1e-5)
    assert not as_thumbnails(np.zeros((2, FINE**2 - 1), np.float32)).any()


@pytest.mark.parametrize('crop', [NO_CROP, (0.04,) * 4, (0.1, 0.0, 0.02, 0.3)])
def test_fingerprints_of_crops_need_no_pictures(crop):
    prints = np.concatenate([fingerprints(thumbnails(texture(0))), np.zeros((1, FINE**2 - 1), np.float32)])
    for num in (COARSE, FINE):
        expected = fingerprints(as_thumbnails(prints), num, crop)
        np.testing.assert_allclose(crop_fingerprints(7 * prints, num, crop), expected, atol=1e-5)


def test_a_signature_holds_frames_from_all_over_the_clip():
    pictures = thumbnails(texture(0, 10))
    kept = fingerprints(read_signature(sign_clip(pictures)))
    expected = fingerprints(pictures[[0, 3, 6, 9]])
    assert (kept * expected).sum(axis=1).min() > 0.999  # of 1
    assert len(base64.b64decode(sign_clip(pictures))) == FRAMES * (FINE**2 - 1)
    assert len(read_signature(sign_clip(pictures[:1]))) == 1


def test_blank_frames_are_left_out():
    pictures = thumbnails([np.zeros((40, 50), np.uint8), *texture(0, 3)])
    assert len(read_signature(sign_clip(pictures))) == FRAMES - 1
    assert sign_clip(pictures[:1]) == '' and read_signature('').shape == (0, 48, 48)


@pytest.mark.parametrize('text', ['no base64', 'AAAA', 'é'])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=text):
        read_signature(text)


@pytest.mark.parametrize('chunk', [4096, 2])
@pytest.mark.parametrize('alteration', ['mirrored', *ALTERATIONS])
def test_copies_are_found_by_signatures_and_nothing_else(alteration, chunk, monkeypatch):
    monkeypatch.setattr('uscl.checks.likely_copies._SIGNATURES', chunk)
    alter = ALTERATIONS.get(alteration, lambda frame: frame[:, ::-1])
    clips = [thumbnails(texture(k)) for k in (7, 1, 8, 3, 9)]
    signatures = [sign_clip(thumbnails([alter(frame) for frame in texture(k)])) for k in (0, 1, 2, 3, 4)]
    found = find_copies(clips, ['', *signatures])
    assert {number: sighting.kind for number, sighting in found.items()} == dict.fromkeys(
        (1, 3), 'a mirror image' if alteration == 'mirrored' else 'the same pictures'
    )
    assert all(sighting.is_certain for sighting in found.values())
    assert find_copies(clips, []) == find_copies([], signatures) == {}
