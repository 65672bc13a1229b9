import functools
import pickle
from collections import OrderedDict, deque, namedtuple
from enum import Enum, IntEnum
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from uscl.core.atomic_files import write_atomically
from uscl_plugin.weights.checkpoint_error import CheckpointError
from uscl_plugin.weights.checkpoint_files import write_checkpoint
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint
from uscl_plugin.weights.plain_types import to_plain
from uscl_plugin.weights.resnet_state import backbone_state, infer_resnet_depth, resnet_shapes
from uscl_plugin.weights.tensor_digest import DIGEST, tensor_digest


class Plants:
    """Its pickle creates a file when it is loaded with execution."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def resnet_state(depth=18):
    return {name: torch.zeros(shape) for name, shape in resnet_shapes(depth).items()}


def one_line(error):
    text = str(error.value)
    assert '\n' not in text and text.endswith('.')
    return text


def test_loads_tensors_and_plain_values(tmp_path):
    saved = {'state_dict': OrderedDict(a=torch.arange(3)), 'meta': {'epoch': 3, 'cfg': 'x = 1'}}
    torch.save(saved, tmp_path / 'a.pth')
    loaded = load_plain_checkpoint(tmp_path / 'a.pth')
    assert loaded['meta'] == saved['meta']
    assert torch.equal(loaded['state_dict']['a'], torch.arange(3))


def test_loads_safetensors_with_header(tmp_path):
    save_file({'a': torch.arange(3)}, tmp_path / 'a.safetensors', metadata={'method': 'USCL'})
    loaded = load_plain_checkpoint(str(tmp_path / 'a.safetensors'))
    assert loaded['meta'] == {'method': 'USCL'}
    assert torch.equal(loaded['state_dict']['a'], torch.arange(3))


@pytest.mark.parametrize('form', ['zip', 'legacy', 'pickle2', 'pickle5'])
@pytest.mark.parametrize('unsafe_default', [False, True])
def test_planted_code_is_named_and_not_run(tmp_path, monkeypatch, form, unsafe_default):
    target, path = tmp_path / 'planted', tmp_path / 'evil.pth'
    payload = {'state_dict': {'w': torch.zeros(2) if form in ('zip', 'legacy') else 0}, 'x': Plants(target)}
    if form.startswith('pickle'):
        path.write_bytes(pickle.dumps(payload, protocol=int(form[-1])))
    else:
        torch.save(payload, path, _use_new_zipfile_serialization=form == 'zip')
    if unsafe_default:  # what some packages do to get old checkpoints loaded
        monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
        monkeypatch.setattr(torch, 'load', functools.partial(torch.load, weights_only=False))
    with pytest.raises(CheckpointError) as error:
        load_plain_checkpoint(path)
    assert not target.exists()
    text = one_line(error)
    assert str(path) in text and 'io.open' in text and 'none of it was executed' in text
    pickle.loads(pickle.dumps(Plants(target))).close()
    assert target.exists()  # the plant itself works


def test_contradicting_variables_are_named_and_the_file_is_not_blamed(tmp_path, monkeypatch):
    torch.save({'a': torch.zeros(2)}, tmp_path / 'a.pth')
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with pytest.raises(CheckpointError, match='TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD') as error:
        load_plain_checkpoint(tmp_path / 'a.pth')
    assert str(tmp_path / 'a.pth') in one_line(error) and 'truncated' not in one_line(error)


def test_mmengine_histories_are_refused_with_the_hook_as_remedy(tmp_path):
    torch.save({'log': HistoryBuffer([1.0], [1])}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='PlainCheckpointHook') as error:
        load_plain_checkpoint(tmp_path / 'a.pth')
    assert 'mmengine.logging.history_buffer.HistoryBuffer' in one_line(error)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('damage', ['half', 'tail', 'text', 'empty'])
def test_damaged_file(tmp_path, suffix, damage):
    path = tmp_path / f'a{suffix}'
    tensors = {'a': torch.zeros(5000)}
    save_file(tensors, path) if suffix == '.safetensors' else torch.save(tensors, path)
    content = path.read_bytes()
    path.write_bytes(
        {'half': content[: len(content) // 2], 'tail': content[:-7], 'text': b'not a checkpoint' * 9, 'empty': b''}[
            damage
        ]
    )
    with pytest.raises(CheckpointError, match='0 bytes' if damage == 'empty' else 'is not a checkpoint') as error:
        load_plain_checkpoint(path)
    assert str(path) in one_line(error)


@pytest.mark.parametrize('change', ['a weight', 'the metadata'])
@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_one_flipped_bit(tmp_path, suffix, change):
    path, flat = tmp_path / f'a{suffix}', {'b': torch.tensor(True), 'c': torch.zeros(0)}
    write_checkpoint(path, {'a': torch.arange(9000.0), **flat}, {'mean': [127.5], 'method': 'USCL'})
    assert torch.equal(load_plain_checkpoint(path)['state_dict']['a'], torch.arange(9000.0))
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(4000.0, 4010.0).numpy().tobytes() if change == 'a weight' else b'USCL')] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match='is damaged') as error:
        load_plain_checkpoint(path)
    assert str(path) in one_line(error)


def test_the_digest_is_of_the_content_not_of_its_order(tmp_path):
    tensors = {'a': torch.arange(6.0).reshape(2, 3), 'b': torch.zeros(3, dtype=torch.bfloat16)}
    expected = tensor_digest(tensors, {'x': '1', 'y': '2'})
    assert tensor_digest(dict(reversed(tensors.items())), {'y': '2', 'x': '1', DIGEST: 'no'}) == expected
    others = [
        (tensors | {'a': tensors['a'].reshape(3, 2)}, {'x': '1', 'y': '2'}),
        (tensors | {'a': tensors['a'].view(torch.int32)}, {'x': '1', 'y': '2'}),
        ({'a': tensors['b'], 'b': tensors['a']}, {'x': '1', 'y': '2'}),
        (tensors, {'x': '2', 'y': '1'}),
    ]
    assert all(tensor_digest(*other) != expected for other in others)


def test_missing_file_and_other_content(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        load_plain_checkpoint(tmp_path / 'none.pth')
    torch.save(torch.zeros(2), tmp_path / 'tensor.pth')
    with pytest.raises(CheckpointError, match='Tensor') as error:
        load_plain_checkpoint(tmp_path / 'tensor.pth')
    one_line(error)


def test_backbone_state_takes_prefixed_and_bare_names():
    bare = resnet_state()
    prefixed = {f'backbone.{name}': value for name, value in bare.items()}
    others = {'neck.mlp.0.weight': torch.zeros(1), 'backbone_ema.conv1.weight': torch.zeros(1)}
    assert list(backbone_state({'state_dict': {**prefixed, **others}, 'meta': {}})) == list(bare)
    assert list(backbone_state({**prefixed, **others})) == list(bare)
    assert list(backbone_state(torchvision.models.resnet18().state_dict())) == list(bare)
    assert list(backbone_state({f'encoder.{name}': value for name, value in bare.items()}, prefix='encoder.')) == list(
        bare
    )


@pytest.mark.parametrize('checkpoint', [{}, {'state_dict': {'head.weight': torch.zeros(1)}}, {'state_dict': 3}])
def test_no_backbone(checkpoint):
    with pytest.raises(CheckpointError, match='backbone') as error:
        backbone_state(checkpoint)
    one_line(error)


@pytest.mark.parametrize('depth', [18, 34, 50, 101, 152])
def test_depth_is_recognised(depth):
    assert (
        infer_resnet_depth({name: torch.empty(shape, device='meta') for name, shape in resnet_shapes(depth).items()})
        == depth
    )


def test_resnet_shapes_are_torchvisions():
    real = torchvision.models.resnet18().state_dict()
    expected = {name: tuple(value.shape) for name, value in real.items() if not name.startswith('fc.')}
    assert resnet_shapes(18) == expected
    assert len(expected) == 120


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (
            {'conv1.weight': torch.zeros(64, 1, 7, 7)},
            '1 of another shape (conv1.weight (64, 1, 7, 7) instead of (64, 3, 7, 7))',
        ),
        ({'layer3.2.conv1.weight': torch.zeros(1)}, '1 left over (layer3.2.conv1.weight)'),
        ({'bn1.running_var': None}, '1 missing (bn1.running_var)'),
        ({name: None for name in resnet_shapes(18) if 'num_batches' in name}, '20 missing (bn1.num_batches_tracked, '),
    ],
)
def test_near_resnet_is_refused_with_the_difference(change, text):
    state = {name: value for name, value in {**resnet_state(), **change}.items() if value is not None}
    with pytest.raises(CheckpointError) as error:
        infer_resnet_depth(state)
    assert text in one_line(error) and 'resnet18' in str(error.value)


class Colour(str, Enum):
    RED = 'red'


class Level(IntEnum):
    LOW = 1


def test_to_plain_converts_and_loads_with_weights_only(tmp_path):
    Pair = namedtuple('Pair', 'x y')
    weight = nn.Parameter(torch.randn(2))
    tied = OrderedDict(a=weight, b=weight)
    tied._metadata = OrderedDict({'': {'version': 1}})
    given = {
        'cfg': ConfigDict(model=dict(depth=np.int64(18))),
        'state': tied,
        np.int32(3): [np.float64(0.1), np.float32(0.5), np.bool_(True), np.str_('s'), np.longdouble(2)],
        'arrays': (np.arange(4)[::-1], np.array(['a', 'b']), np.array(1.5), np.array([1, 2], dtype='>i4')),
        'pair': Pair(1, deque([2])),
        'log': HistoryBuffer([1.0], [1]),
        'logs': [HistoryBuffer([1.0], [1]), 1],
        'others': [Colour.RED, Level.LOW, Path('a') / 'b', torch.device('cpu'), frozenset({1}), torch.Size([2]), None],
        'dtype': torch.float16,
    }
    torch.save(to_plain(given), tmp_path / 'a.pth')
    got = torch.load(tmp_path / 'a.pth', weights_only=True)
    assert got['cfg'] == {'model': {'depth': 18}} and type(got['cfg']['model']) is dict
    assert type(got['state']) is OrderedDict and got['state']._metadata == {'': {'version': 1}}
    assert torch.equal(got['state']['a'], weight) and type(got['state']['a']) is torch.Tensor
    assert got['state']['a'].data_ptr() == got['state']['b'].data_ptr()  # tied stays tied
    assert got[3] == [0.1, 0.5, True, 's', 2.0] and [type(x) for x in got[3]] == [float, float, bool, str, float]
    reverse, names, scalar, big_endian = got['arrays']
    assert torch.equal(reverse, torch.tensor([3, 2, 1, 0])) and names == ['a', 'b'] and scalar == 1.5
    assert big_endian == [1, 2]
    assert got['pair'] == (1, [2]) and type(got['pair']) is tuple
    assert 'log' not in got and got['logs'] == [None, 1]
    assert got['others'] == ['red', 1, str(Path('a') / 'b'), 'cpu', {1}, (2,), None]
    assert [type(x) for x in got['others'][:2]] == [str, int]
    assert got['dtype'] is torch.float16


def test_to_plain_leaves_its_input_alone():
    given = {'a': {'log': HistoryBuffer([1.0], [1])}}
    assert to_plain(given) == {'a': {}}
    assert 'log' in given['a']
    assert to_plain(HistoryBuffer([1.0], [1])) is None


def test_to_plain_names_what_it_cannot_hold():
    given = {'meta': {'fn': print, 'list': [1, slice(1, 2)]}}
    with pytest.raises(TypeError, match=r"checkpoint\['meta'\]\['fn'\] .*builtins.builtin_function"):
        to_plain(given)
    seen = []
    assert to_plain(given, unknown=lambda where, value: seen.append(where)) == {'meta': {'list': [1, None]}}
    assert seen == ["checkpoint['meta']['fn']", "checkpoint['meta']['list'][1]"]


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / 'new' / 'a.txt'
    write_atomically(path, lambda temporary: temporary.write_text('old'))

    def fail(temporary):
        temporary.write_text('half')
        raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        write_atomically(path, fail)
    assert path.read_text() == 'old' and list(path.parent.iterdir()) == [path]
