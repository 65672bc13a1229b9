import warnings

import pytest
from mmengine.logging import MMLogger

from uscl_plugin.compat.quiet import without_false_alarms


def test_only_the_false_alarms_are_dropped(capsys):
    logger = MMLogger.get_current_instance()
    with pytest.warns(UserWarning) as caught, without_false_alarms():
        print('Could not import OneDL')
        print('something else')
        warnings.warn('Fail to import ``MultiScaleDeformableAttention`` from …', stacklevel=1)
        logger.warning('Line NMS is not compiled. Most likely …')
        logger.warning('a real warning')
        warnings.warn('another warning', stacklevel=1)
    assert [str(w.message) for w in caught] == ['another warning']
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert 'something else' in text and 'OneDL' not in text and 'Line NMS' not in text
    logger.warning('Line NMS is not compiled afterwards')
    assert not logger.filters
