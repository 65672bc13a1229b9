"""Nothing is downloaded without being asked, and the tests would notice."""

import re
import urllib.request

import pytest


def test_tests_notice_whoever_asks_the_network():
    with pytest.raises(AssertionError, match='something asked the network'):
        urllib.request.urlopen('http://192.0.2.1/weights.pth', timeout=1)  # an address reserved for documentation


def test_no_config_names_an_address(root):
    for path in root.glob('configs/**/*.py'):
        code = re.sub(r'#.*', '', path.read_text())
        assert not re.search(r'https?://|torchvision://|open-mmlab://|mmcls://', code), path
