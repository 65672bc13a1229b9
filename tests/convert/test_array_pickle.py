import builtins
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from uscl.convert.pocus.array_pickle import load_arrays
from uscl.core.errors import SourceError

PROTOCOLS = range(6)
ARRAYS = {
    'images': np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5),
    'floats': np.linspace(-1, 1, 7),
    'fortran': np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    'permuted': np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    'strided': np.arange(20)[::3],
    'big-endian': np.arange(5, dtype='>i4'),
    'bool': np.array([True, False]),
    'complex': np.array([1j]),
    'empty': np.zeros((0, 3), np.float16),
    'no axes': np.array(3.5),
}


def dump(path: Path, value, protocol=4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def rename_numpy(content: bytes, version: str) -> bytes:
    """The same pickle as the given NumPy writes it."""
    frames = [position for op, _, position in pickletools.genops(content) if op.name == 'FRAME']
    for position in reversed(frames):  # of protocol 4; optional, and their lengths would be wrong afterwards
        content = content[:position] + content[position + 9 :]
    old, new = (b'numpy._core.', b'numpy.core.') if version == '1' else (b'numpy.core.', b'numpy._core.')
    for module in (b'multiarray', b'numeric'):
        before, after = old + module, new + module
        content = content.replace(b'c' + before, b'c' + after)
        content = content.replace(b'\x8c' + bytes([len(before)]) + before, b'\x8c' + bytes([len(after)]) + after)
    return content


@pytest.mark.parametrize('version', ['1', '2'])
@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('name', ARRAYS)
def test_arrays_of_all_protocols_and_both_numpys(name, protocol, version, tmp_path):
    content = rename_numpy(pickle.dumps(ARRAYS[name], protocol), version)
    assert [b'numpy.core.' in content, b'numpy._core.' in content] == [version == '1', version == '2']
    (tmp_path / 'x.pkl').write_bytes(content)
    loaded = load_arrays(tmp_path / 'x.pkl')
    assert loaded.dtype.newbyteorder('=') == ARRAYS[name].dtype.newbyteorder('=')
    np.testing.assert_array_equal(loaded, ARRAYS[name])


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_containers_numbers_and_scalars(protocol, tmp_path):
    value = [
        (1, 2**70, -0.5, 1j, None, True, 'text', b'', b'bytes'),
        {'a': {1, 2}, 'b': frozenset([3])},
        [np.float32(1.5), np.int64(-7), np.bool_(True), np.uint8(255)],
    ]
    loaded = load_arrays(dump(tmp_path / 'x.pkl', value, protocol))
    assert loaded == value
    assert [type(item) for item in loaded[2]] == [np.float32, np.int64, np.bool_, np.uint8]


def test_axis_order_of_later_numpy(tmp_path):
    array = np.arange(24.0).reshape(4, 3, 2)
    content = b'\x80\x05' + _call('numpy._core.numeric', '_frombuffer', array.tobytes(), array.dtype, (4, 3, 2), 'K')
    order = pickle.dumps((1, 0, 2), 2)[2:-1]
    (tmp_path / 'x.pkl').write_bytes(content.replace(b't' + b'R.', order + b'tR.'))
    np.testing.assert_array_equal(load_arrays(tmp_path / 'x.pkl'), array.transpose(1, 0, 2))


def _call(module, name, *args):
    """Opcodes that call `module.name(*args)` and stop; plain arguments are pickled as they are."""
    parts = [arg if isinstance(arg, Op) else pickle.dumps(arg, 2)[2:-1] for arg in args]
    return b'c' + f'{module}\n{name}\n'.encode() + b'(' + b''.join(parts) + b'tR.'


class Op(bytes):
    """Opcodes that leave one value on the stack."""


class Call:
    """What a pickle of this does is up to whoever made it."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def hostile_cases(mark: Path) -> dict:
    command = f'touch {mark}'
    code = f'open({str(mark)!r}, "w")'
    objects = np.array([1, Call(os.system, command)], dtype=object)
    return {
        'system': (Call(os.system, command), r'(posix|nt)\.system'),
        'eval': (Call(builtins.eval, code), r'(builtins|__builtin__)\.eval'),
        'exec nested': ({'a': [(1, {2: Call(builtins.exec, code)})]}, r'(builtins|__builtin__)\.exec'),
        'getattr': (Call(builtins.getattr, 1, 'real'), r'\.getattr'),
        'open': (Call(builtins.open, str(mark), 'w'), r'\.open'),
        'numpy fromfile': (Call(np.fromfile, str(mark)), r'numpy.*\.fromfile'),
        'numpy save': (Call(np.save, str(mark), 1), r'numpy\.save'),
        'memmap': (Call(np.memmap, str(mark), np.uint8, 'w+', 0, (1,)), r'numpy(\.core\.memmap)?\.memmap'),
        'in an object array': (objects, r"type 'O8'"),
        'beside arrays': ((np.zeros(3), [0], Call(os.system, command)), r'(posix|nt)\.system'),
        'as array state': (Call(np.frombuffer, Call(os.system, command)), r'frombuffer|system'),
        'own class': (mark, r'pathlib'),
        'masked array': (np.ma.zeros(3), r'numpy\.ma'),
        'matrix': (np.zeros((1, 1)).view(np.recarray), r'recarray'),
        'compound': (np.zeros(2, 'u1,f4'), r"type 'V5'"),
        'text': (np.array(['a']), r"type 'U1'"),
    }


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('name', hostile_cases(Path('x')))
def test_anything_else_is_refused_and_not_run(name, protocol, tmp_path):
    value, refused = hostile_cases(tmp_path / 'was-run')[name]
    path = dump(tmp_path / 'bad.pkl', value, protocol)
    with pytest.raises(SourceError, match=rf'bad\.pkl is refused, .*({refused})') as caught:
        load_arrays(path)
    assert '\n' not in str(caught.value) and caught.value.exit_code == 1
    assert not (tmp_path / 'was-run').exists()


def test_hostile_cases_would_run(tmp_path):
    """The cases above are real: Python's own reader runs them."""
    for name in ('system', 'eval', 'exec nested', 'open', 'in an object array', 'beside arrays', 'memmap'):
        value, _ = hostile_cases(tmp_path / name.replace(' ', '-'))[name]
        pickle.loads(pickle.dumps(value))
        assert (tmp_path / name.replace(' ', '-')).exists()


U1 = Op(pickle.dumps(np.dtype('u1'), 2)[2:-1])
FORGED_U8 = Op(U1.replace(b'u1', b'O8'))
NDARRAY = Op(b'cnumpy\nndarray\n')
EMPTY = Op(_call('numpy.core.multiarray', '_reconstruct', NDARRAY, (0,), b'b')[:-1])
STATE = pickle.dumps((None, {'__defaults__': (1,)}), 2)[2:-1]


def _build(value: bytes, *state) -> bytes:
    parts = [item if isinstance(item, Op) else pickle.dumps(item, 2)[2:-1] for item in state]
    return value + b'(' + b''.join(parts) + b'tb.'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (_build(EMPTY, 1, (1,), FORGED_U8, False, b'12345678'), r"type 'O8'"),
        (_build(EMPTY, 1, (1,), 'O8', False, b'12345678'), r'forged type'),
        (_build(EMPTY, 1, (-1, -8), U1, False, b'12345678'), r'forged state'),
        (_build(EMPTY, 1, (9,), U1, False, b'12345678'), r'cannot have 8 bytes'),
        (_build(EMPTY, 1, (8,), U1, False, [1]), r'forged state'),
        (_build(Op(U1[:-1].split(b'(K\x03')[0]), 3, '|', None, ('a',), None, 1, 1, 0), r'compound type'),
        (_call('numpy._core.numeric', '_frombuffer', 'text', U1, (1,), 'C'), r'forged state'),
        (_call('numpy._core.multiarray', '_reconstruct', Op(b'cbuiltins\nset\n'), (0,), b'b'), r'a subclass'),
        (b'cnumpy\nndarray\n(K\x01tR.', r'not callable'),
        (b'cnumpy\nndarray\n)\x81.', r'TypeError|UnpicklingError'),
        (_call('_codecs', 'encode', 'x', 'idna'), r"_codecs\.encode to 'idna'"),
        (_call('builtins', 'bytes', 10**18), r'_empty_bytes'),
        (b'cnumpy\ndtype\n' + STATE + b'b.', r'change of a function'),
        (b'cbuiltins\nset\n' + STATE + b'b.', r'immutable type'),
        (b'Pabc\n.', r'persistent id'),
        (b'\x80\x04\x8c\x08builtins\x8c\x0deval.__call__\x93.', r'builtins\.eval\.__call__'),
        (b'\x82\x01.', r'extension code'),
    ],
)
def test_forged_opcodes(content, message, tmp_path):
    (tmp_path / 'forged.pkl').write_bytes(content)
    with pytest.raises(SourceError, match=rf'forged\.pkl is .*({message})'):
        load_arrays(tmp_path / 'forged.pkl')


def test_functions_cannot_be_changed(tmp_path):
    test_forged_opcodes(b'cnumpy._core.numeric\n_frombuffer\n' + STATE + b'b.', 'change of a function', tmp_path)
    array = np.arange(6.0)
    np.testing.assert_array_equal(load_arrays(dump(tmp_path / 'x.pkl', array, 5)), array)


@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_damaged_files(protocol, tmp_path):
    content = pickle.dumps((np.arange(2000.0), [1, 2]), protocol)
    for length in (0, 1, 30, len(content) // 2, len(content) - 1):
        (tmp_path / 'cut.pkl').write_bytes(content[:length])
        with pytest.raises(SourceError, match=r'cut\.pkl is not a pickle of arrays'):
            load_arrays(tmp_path / 'cut.pkl')
    (tmp_path / 'cut.pkl').write_text('hello')
    with pytest.raises(SourceError, match='not a pickle'):
        load_arrays(tmp_path / 'cut.pkl')


def test_any_flipped_byte_is_an_error_or_harmless(tmp_path):
    content = pickle.dumps((np.arange(3, dtype=np.uint8), [0, 1]), 2)
    path = tmp_path / 'x.pkl'
    for position in range(len(content)):
        for value in (0, 40, 82, 98, 255):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            try:
                load_arrays(path)
            except SourceError as error:
                assert str(path) in str(error)


def test_no_such_file(tmp_path):
    with pytest.raises(SourceError, match=r'gone\.pkl cannot be read \(No such file'):
        load_arrays(tmp_path / 'gone.pkl')
