"""Hypothesis strategies that damage files in ways that reveal what a reader takes for granted.

Every strategy takes valid files of one kind and damages one of them at a time. Draws do not depend on the file, so that
strategies are built only once: a place in a file is a number modulo its length.
"""

import csv
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], Any]
Files = Sequence[bytes]
Edits = Sequence[tuple[int, int, Callable[[bytes, Files], bytes]]]  # place, length, replacement

DECOY = 'canary'  # part of the names of files that no reader may touch
_PATHS = (f'../{DECOY}.png', f'/{DECOY}.png', f'..\\{DECOY}.png', f'C:\\{DECOY}.png', f'a/../../{DECOY}.png', '.', '/')
_TEXTS = ('', ' ', '\x00', '\ud800', 'ﷺ' * 50, '\u202eabc', 'é', 'NaN', 'x' * 200_000, '-1', '1e999', '0' * 5000)
_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, float('inf'), float('nan'))
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_TEXT = st.sampled_from((*_TEXTS, *_PATHS)) | st.text(max_size=9)
_SCALAR = st.none() | st.booleans() | st.sampled_from(_NUMBERS) | st.integers() | st.floats() | _TEXT
_VALUE = st.recursive(_SCALAR, lambda part: st.lists(part) | st.dictionaries(_TEXT, part), max_leaves=5)
_VALUE |= st.sampled_from(_NUMBERS).map(lambda number: [number] * 1000)
_NESTED = st.sampled_from((50, 2000, 100_000)).map(lambda depth: '[' * depth + ']' * depth)
_PLACE = st.integers(0, 2**24)
_FEW = st.sampled_from((1, 1, 1, 2, 3, 5, 8))  # changes

_IN_PLACE = st.one_of(
    st.binary(max_size=8).map(lambda new: lambda chunk, files: new),
    st.just(lambda chunk, files: b''),
    st.sampled_from((2, 3, 100)).map(lambda times: lambda chunk, files: times * chunk[:4096]),
    st.sampled_from((b'\0', b'\xff')).map(lambda byte: lambda chunk, files: len(chunk) * byte),
    _PLACE.map(lambda bit: lambda chunk, files: _flip(chunk, bit)),
    _PLACE.map(lambda at: lambda chunk, files: chunk[at % (len(chunk) + 1) :] + chunk[: at % (len(chunk) + 1)]),
    st.tuples(st.sampled_from(_EDGES), st.sampled_from(('little', 'big'))).map(
        lambda number: lambda chunk, files: (number[0] % 256 ** min(len(chunk), 8)).to_bytes(len(chunk), number[1])
    ),
    st.tuples(_PLACE, _PLACE).map(lambda at: lambda chunk, files: _rest(files[at[0] % len(files)], at[1])),
)
_SIZE = st.sampled_from((0, 1, 2, 4, 8, 16, 64, 256, 4096, 2**24))
_EDIT = st.tuples(st.integers(0, 255) | _PLACE, _SIZE, _IN_PLACE)  # headers are in front
_EDITS: st.SearchStrategy[Edits] = st.tuples(_EDIT) | st.lists(_EDIT, min_size=2, max_size=6)
_PERHAPS_EDITS: st.SearchStrategy[Edits] = st.just(()) | _EDITS


def damaged_bytes(files: Files) -> st.SearchStrategy[bytes]:
    """Make a few changes to bytes: flip, replace, truncate, delete, duplicate, swap, splice with another file."""
    return st.builds(_edit, st.sampled_from(files), _EDITS, st.just(files))


def _edit(data: bytes, edits: Edits, files: Files) -> bytes:
    for place, size, in_place in edits:
        start = place % max(len(data), 1)
        data = data[:start] + in_place(data[start : start + size], files) + data[start + size :]
    return data


def _flip(chunk: bytes, bit: int) -> bytes:
    number = int.from_bytes(chunk, 'big') ^ 1 << bit % (8 * len(chunk) + 1)
    return number.to_bytes(len(chunk) + 1, 'big')[1:]


def _rest(data: bytes, place: int) -> bytes:
    return data[place % (len(data) + 1) :]


@st.composite
def damaged_json(draw: Draw, files: Files) -> bytes:
    """Change values, keys and structure of a JSON file, and perhaps its bytes.

    The result may have duplicate keys, numbers and strings that are invalid in JSON, and deeply nested lists.
    """
    document = [json.loads(files[draw(_PLACE) % len(files)])]
    for _ in range(draw(_FEW)):
        if nodes := _nodes(document):
            _change_node(draw, nodes)
    text = json.dumps(document[0] if document else None, ensure_ascii=draw(st.booleans()))
    keys = list(re.finditer(r'\{("[^"]*": )', text))
    if keys and draw(_FEW) == 3:  # a duplicate key, perhaps with a value that overflows the stack
        key = keys[draw(_PLACE) % len(keys)]
        text = f'{text[: key.end()]}{draw(_VALUE.map(json.dumps) | _NESTED)}, {key[1]}{text[key.end() :]}'
    return _edit(text.encode('utf-8', errors='surrogatepass'), draw(_PERHAPS_EDITS), files)


def _nodes(holder: Any) -> list[tuple[Any, Any]]:
    """All (holder, key) pairs of a small document."""
    keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else []
    found = [(holder, key) for key in keys]
    return found + [pair for key in keys for pair in _nodes(holder[key])]


def _change_node(draw: Draw, nodes: Sequence[tuple[Any, Any]]) -> None:
    (holder, key), (other, place) = (nodes[draw(_PLACE) % len(nodes)] for _ in range(2))
    what = draw(st.sampled_from(('other value', 'other value', 'delete', 'wrap', 'again', 'copy')))
    if what == 'delete':
        del holder[key]
    elif what == 'wrap':
        holder[key] = [holder[key]]
    elif what == 'again' and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif what == 'again':
        holder[draw(_TEXT)] = holder.pop(key)
    else:
        holder[key] = json.loads(json.dumps(other[place])) if what == 'copy' else draw(_VALUE)


@st.composite
def damaged_csv(draw: Draw, files: Files) -> bytes:
    """Change cells, rows, columns, quotes, separators and encoding of a CSV file, and perhaps its bytes."""
    rows = list(csv.reader(io.StringIO(files[draw(_PLACE) % len(files)].decode())))
    for _ in range(draw(_FEW)):
        at, of_row, cells, columns, kept = draw(_ROW_EDIT)
        at %= len(rows) + 1
        row = rows[at] if at < len(rows) else []
        start = of_row % (len(row) + 1)
        rows[at : at + kept] = [row[:start] + cells + row[start + columns :]] if kept < 2 else []
    text = io.StringIO()
    # Python 3.10 does not write the null character: write a placeholder and replace it.
    rows = [[cell.replace('\0', '\ue000') for cell in row] for row in rows]
    csv.writer(text, delimiter=draw(_SEPARATOR), quoting=draw(_QUOTING)).writerows(rows)
    content = text.getvalue().replace('\ue000', '\0').encode(draw(_ENCODING), errors='replace')
    return _edit(content, draw(_PERHAPS_EDITS), files)


# Row, column, new cells, number of old cells; then 0 to insert the row, 1 to replace it, 2 to delete two rows.
_CELL = (_SCALAR | st.sampled_from(('"', 'a"b', '\r', ',,', '\n'))).map(str)
_ROW_EDIT = st.tuples(_PLACE, _PLACE, st.lists(_CELL, max_size=2), st.integers(0, 2), st.integers(0, 2))
_SEPARATOR, _QUOTING = st.sampled_from(',,,;\t'), st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
_ENCODING = st.sampled_from(('utf-8', 'utf-8', 'utf-8', 'utf-8-sig', 'utf-16', 'latin-1'))


def damaged_png(files: Files) -> st.SearchStrategy[bytes]:
    """Damage a PNG file; every other time its checksums are corrected, so that decoders get past them."""
    return damaged_bytes(files) | damaged_bytes(files).map(_with_checksums)


def _with_checksums(content: bytes) -> bytes:
    data, start = bytearray(content), 8
    while start + 12 <= len(data):
        end = start + 8 + int.from_bytes(data[start : start + 4], 'big')
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[start + 4 : end]).to_bytes(4, 'big')
        start = end + 4
    return bytes(data)


def damaged_zip(files: Files) -> st.SearchStrategy[bytes]:
    """Damage a zip archive as a whole, or one file in an archive that is otherwise valid."""
    archives = [file for file in files if zipfile.is_zipfile(io.BytesIO(file))]
    inner = st.builds(_edit_archive, st.sampled_from(archives), _PLACE, _EDITS, st.integers(0, 9))
    return damaged_bytes(files) | inner


def _edit_archive(content: bytes, place: int, edits: Edits, decoy: int) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    names = [*files, *[name for name in files if name.endswith('.pkl')] * 3]
    name = names[place % len(names)]
    files[name] = _edit(files[name], edits, list(files.values()))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for inner, part in [*files.items(), *([(f'../{DECOY}', b'')] if decoy == 9 else [])]:
            archive.writestr(zipfile.ZipInfo(inner), part)
    return buffer.getvalue()


@st.composite
def damaged_safetensors(draw: Draw, files: Files) -> bytes:
    """Damage the JSON header of a safetensors file, with the length corrected, and perhaps any bytes."""
    content = files[draw(_PLACE) % len(files)]
    length = struct.unpack('<Q', content[:8])[0]
    header = draw(damaged_json([content[8 : 8 + length]]))
    return _edit(struct.pack('<Q', len(header)) + header + content[8 + length :], draw(_PERHAPS_EDITS), files)
