"""Tiny final models."""

import io
from contextlib import redirect_stdout

import pytest

from uscl.options.finetuning_options import FinetuningOptions
from uscl_plugin.finetuning.finetuning_run import finetune


def _run(data, out, **changes):
    settings = {'source': 'random', 'size': 32, 'workers': 0} | changes
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setenv('COLUMNS', '400')
        status = finetune(FinetuningOptions(data=str(data), out=str(out), **settings), 'uscl finetune AGAIN')
    return status, printed.getvalue()


@pytest.fixture(scope='session')
def final():
    """A function that runs `uscl finetune` at 32 px and returns its status and what it printed."""
    return _run
