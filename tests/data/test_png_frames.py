import cv2
import numpy as np
import pytest

from uscl.data.png_frames import write_png


@pytest.mark.parametrize('shape', [(20, 30), (20, 30, 3)])
def test_png_is_lossless_rgb_and_repeatable(tmp_path, shape):
    frame = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    write_png(tmp_path / 'é.png', frame)
    write_png(tmp_path / 'b.png', frame)
    assert (tmp_path / 'é.png').read_bytes() == (tmp_path / 'b.png').read_bytes()
    stored = cv2.imread(str(tmp_path / 'b.png'), cv2.IMREAD_UNCHANGED)
    assert stored.ndim == len(shape)  # a grey frame takes one channel
    np.testing.assert_array_equal(stored if len(shape) == 2 else stored[..., ::-1], frame)
