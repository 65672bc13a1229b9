"""Variants that cannot be timed beside each other."""

import pytest
from tool_module import load_tool


@pytest.mark.parametrize(
    ('variant', 'named'), [('random', 'random has no config'), ('mine=uscl:init={}', 'mine starts from given weights')]
)
def test_variants_that_do_not_start_alike_are_refused(tmp_path, capsys, variant, named):
    (tmp_path / 'given.pth').touch()
    tool = load_tool('tools/benchmarks/time_to_quality.py')
    command = ['uscl', variant.format(tmp_path / 'given.pth'), '--data', 'unused', '--out', str(tmp_path / 'out')]
    assert tool.main(command) == 1
    assert named in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
