import pytest

from uscl.core.options import parse_options
from uscl.options.finetuning_options import FinetuningOptions

NEEDED = ['data', '--from', 'backbone.pth', '--out', 'out']


@pytest.mark.parametrize(
    ('given', 'option'),
    [
        (['--task', 'detect', '--protocol', 'linear'], '--protocol'),
        (['--task', 'detect', '--evaluation', 'judged'], '--evaluation'),
        (['--protocol', 'linear', '--epochs', '2'], '--epochs'),
        (['--protocol', 'finetune', '--batch-norm', 'frozen'], '--batch-norm'),
    ],
)
def test_options_without_an_effect_are_refused(given, option, capsys):
    with pytest.raises(SystemExit):
        parse_options(FinetuningOptions, [*NEEDED, *given])
    assert f'{option} has no effect' in capsys.readouterr().err
    assert parse_options(FinetuningOptions, NEEDED).source == 'backbone.pth'
    assert parse_options(FinetuningOptions, [*NEEDED, *given[:2]][:5]).task == 'classify'
