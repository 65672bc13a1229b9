import re

import pytest
import torch

from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.strict_loading import load_strictly


@pytest.mark.parametrize('wrap', [dict, lambda state: {'state_dict': state, 'meta': {}}])
def test_a_state_that_fits_arrives(wrap):
    network, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    load_strictly(network, wrap(other.state_dict()), 'a.pth', 'no')
    assert torch.equal(network.weight, other.weight) and torch.equal(network.bias, other.bias)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'bias': None}, '1 missing (bias)'),
        ({'mask.weight': torch.zeros(1)}, '1 left over (mask.weight)'),
        ({f'{k}': torch.zeros(1) for k in range(5)}, '5 left over (0, 1, 2, …)'),
        ({'bias': torch.zeros(5)}, '1 of another shape (bias (5,) instead of (2,))'),
        ({'bias': torch.zeros(2, 1)}, '1 of another shape (bias (2, 1) instead of (2,))'),
        ({'bias': 'text'}, '1 of another shape (bias str instead of (2,))'),
        ({'bias': None, 7: torch.zeros(1)}, '1 missing (bias); 1 left over (7)'),
        ({'state_dict': 'text'}, '2 missing (weight, bias)'),
    ],
)
def test_another_is_refused_before_anything_changes(changes, text):
    network = torch.nn.Linear(3, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = {k: v for k, v in {**torch.nn.Linear(3, 2).state_dict(), **changes}.items() if v is not None}
    with pytest.raises(CheckpointError, match=re.escape(f'x/a.pth does not fit the network, {text}: do that.')):
        load_strictly(network, state, 'x/a.pth', 'do that')
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
