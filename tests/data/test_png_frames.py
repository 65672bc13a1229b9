import re

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uscl.core.relative_path import is_inside
from uscl.data.png_frames import store_name, write_png


@pytest.mark.parametrize('shape', [(20, 30), (20, 30, 3)])
def test_png_is_lossless_rgb_and_repeatable(tmp_path, shape):
    frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_png(tmp_path / 'é.png', frame)
    write_png(tmp_path / 'b.png', frame)
    assert (tmp_path / 'é.png').read_bytes() == (tmp_path / 'b.png').read_bytes()
    stored = cv2.imread(str(tmp_path / 'b.png'), cv2.IMREAD_UNCHANGED)
    assert stored.ndim == len(shape)  # a grey frame takes one channel
    np.testing.assert_array_equal(stored if len(shape) == 2 else stored[..., ::-1], frame)


@given(st.text(st.characters(exclude_categories=['Cs']), min_size=1, max_size=300))
def test_store_names_are_safe(video_id):
    name = store_name(video_id)
    assert re.fullmatch(r'[A-Za-z0-9_][A-Za-z0-9._-]*-[0-9a-f]{8}|-[0-9a-f]{8}', name)
    assert len(name) <= 89 and is_inside(f'frames/{name}/000000.png')


@given(st.sets(st.text('aA./_ é', min_size=1, max_size=4), min_size=2))
def test_store_names_differ_also_where_case_does_not_count(video_ids):
    assert len({store_name(video_id).lower() for video_id in video_ids}) == len(video_ids)


def test_long_names_are_cut_but_stay_different():
    names = {store_name('a/' * 200 + end) for end in 'xy'}
    assert len(names) == 2 and {len(name) for name in names} == {89}
