import pytest

from uscl.core.config_literals import config_literals
from uscl_plugin.weights.input_metadata import stored_metadata


@pytest.mark.parametrize(
    ('preprocessor', 'order'),
    [('to_rgb=True', 'rgb'), ('to_rgb=False', 'bgr'), ('bgr_to_rgb=True', 'rgb'), ('n=1', 'bgr')],
)
def test_channel_order_of_a_config(preprocessor, order):
    meta = {'cfg': f'data_preprocessor = dict(mean=[1, 2, 3], std=[4, 5, 6], {preprocessor})'}
    assert stored_metadata(meta) == {'mean': [1, 2, 3], 'std': [4, 5, 6], 'channel_order': order}


def test_config_text_is_not_executed(tmp_path):
    planted = tmp_path / 'planted'
    text = f"model = dict(a=open({str(planted)!r}, 'w'), b=(1, -2), c={{'d': None}})\nopen({str(planted)!r}, 'w')\n"
    assert config_literals(text, ['model']) == {'model': {'a': None, 'b': [1, -2], 'c': {'d': None}}}
    assert not planted.exists()
    for broken in ('model = (', 'model = {[]: 1}', '\0', 'model = ' + '(' * 500):
        assert config_literals(broken, ['model']) == {}
