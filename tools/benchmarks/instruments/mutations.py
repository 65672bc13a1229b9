"""Damage files at random, in ways that reveal what a reader takes for granted.

Every function makes all its choices with the given random generator, so the same generator gives the same bytes.
"""

import csv
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

Mutator = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

DECOY = 'canary'  # part of the names of files that no reader may touch
_PATHS = (f'../{DECOY}.png', f'/{DECOY}.png', f'..\\{DECOY}.png', f'C:\\{DECOY}.png', f'a/../../{DECOY}.png', '.', '/')
_TEXTS = ('', ' ', '\x00', '\ud800', 'ﷺ' * 50, '\u202eabc', 'é', 'NaN', 'x' * 200_000, '-1', '1e999', '0' * 5000)
_NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, float('inf'), float('nan'))
_MAGIC = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_DEPTHS = (50, 2000, 100_000)


def mutate_bytes(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Make one to eight changes to bytes: flip, replace, truncate, delete, duplicate, swap, splice with another file.

    Args:
        rng: Generator for all choices.
        content: Contents of the file.
        others: Other valid files of the same kind.
    """
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        if len(data) < 2:
            break
        rng.choice(_CHANGES)(rng, data, others)
    return bytes(data)


def _position(rng: random.Random, data: bytearray) -> int:
    """Anywhere, or in the first bytes, where headers are."""
    return rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 256))


def _chunk(rng: random.Random, data: bytearray) -> slice:
    start = _position(rng, data)
    return slice(start, min(len(data), start + rng.choice((1, 2, 4, 8, 16, 64, 256, 4096))))


def _flip(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[_position(rng, data)] ^= 1 << rng.randrange(8)


def _replace(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    data[_position(rng, data)] = rng.randrange(256)


def _magic(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Insert a number at the edge of a range, where a number of that size may be."""
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(_MAGIC) & (256**size - 1)
    start = _position(rng, data) // size * size
    data[start : start + size] = value.to_bytes(size, rng.choice(('little', 'big')))[: len(data) - start]


def _truncate(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[rng.randrange(1, len(data)) :]


def _delete(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_chunk(rng, data)]


def _duplicate(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    chunk, start = data[_chunk(rng, data)], _position(rng, data)
    data[start:start] = chunk * rng.choice((1, 1, 2, 100))


def _swap(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    first, second = sorted((_chunk(rng, data), _chunk(rng, data)), key=lambda chunk: chunk.start)
    data[first.start : second.stop] = data[second] + data[first.stop : second.start] + data[first]


def _erase(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    chunk = _chunk(rng, data)
    data[chunk] = bytes([rng.choice((0, 0xFF))]) * (chunk.stop - chunk.start)


def _splice(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


_CHANGES = (_flip, _flip, _replace, _magic, _magic, _truncate, _delete, _duplicate, _swap, _erase, _splice)


def mutate_json(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Change values, keys and structure of a JSON file (or its bytes, one time in five).

    The result may have duplicate keys, numbers and strings that are invalid in JSON, and deeply nested lists.
    """
    if rng.random() < 0.2:
        return mutate_bytes(rng, content, others)
    document = [json.loads(content)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change_node(rng, document)
    text = json.dumps(document[0] if document else None, ensure_ascii=rng.random() < 0.8)
    if rng.random() < 0.1:
        text = _double_key(rng, text)
    if rng.random() < 0.05:
        depth = rng.choice(_DEPTHS)
        text = text.replace(rng.choice(('null', '"', '[')), '[' * depth + ']' * depth + ',', 1)
    return text.encode('utf-8', errors='surrogatepass')


def _nodes(holder: Any) -> list[tuple[Any, Any]]:
    """All (holder, key) pairs of a document; the documents are small."""
    keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else []
    found = [(holder, key) for key in keys]
    return found + [pair for key in keys for pair in _nodes(holder[key])]


def _odd_value(rng: random.Random) -> Any:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice((None, True, False, [], {}, [[]], {'': None}))
    if kind == 1:
        return rng.choice(_TEXTS)
    if kind == 2:
        return rng.choice(_PATHS)
    if kind == 3:
        return [rng.choice(_NUMBERS) for _ in range(rng.choice((1, 2, 3, 4, 1000)))]
    return rng.choice(_NUMBERS)


def _change_node(rng: random.Random, document: list) -> None:
    nodes = _nodes(document)
    if not nodes:
        return
    holder, key = rng.choice(nodes)
    what = rng.randrange(7)
    if what == 0:
        del holder[key]
    elif what == 1:
        holder[key] = [holder[key]]
    elif what == 2 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif what == 2:
        holder[rng.choice(_TEXTS)] = holder.pop(key)
    elif what == 3:
        other, place = rng.choice(nodes)
        holder[key] = json.loads(json.dumps(other[place])) if _is_small(other[place]) else None
    else:
        holder[key] = _odd_value(rng)


def _is_small(value: Any) -> bool:
    return len(json.dumps(value)) < 10_000


def _double_key(rng: random.Random, text: str) -> str:
    """Repeat the first key of an object with another value."""
    start = text.find('{"', rng.randrange(len(text)))
    end = text.find('"', start + 2)
    if start < 0 or end < 0:
        return text
    return text[: start + 1] + text[start + 1 : end + 1] + f': {json.dumps(_odd_value(rng))}, ' + text[start + 1 :]


def mutate_csv(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Change cells, rows, columns, quotes, separators and the encoding of a CSV file (or its bytes)."""
    if rng.random() < 0.2:
        return mutate_bytes(rng, content, others)
    rows = list(csv.reader(io.StringIO(content.decode())))
    for _ in range(rng.choice((1, 1, 2, 4))):
        row = rng.choice(rows)
        what = rng.randrange(6)
        if what == 0:
            rows.remove(row)
        elif what == 1:
            rows.insert(rng.randrange(len(rows)), list(row))
        elif what == 2:
            row.insert(rng.randrange(len(row) + 1), rng.choice(_TEXTS))
        elif row:
            place = rng.randrange(len(row))
            row[place] = str(rng.choice((*_TEXTS, *_PATHS, *_NUMBERS, '"', 'a"b', '\r', ',,', '\n')))
        if not rows:
            break
    text = io.StringIO()
    quoting: Any = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    # Python 3.10 does not write the null character: write a placeholder and replace it.
    cells = [[cell.replace('\0', '\ue000') for cell in row] for row in rows]
    csv.writer(text, delimiter=rng.choice(',,,;\t'), quoting=quoting).writerows(cells)
    encoding = rng.choice(('utf-8', 'utf-8', 'utf-8', 'utf-8-sig', 'utf-16', 'latin-1'))
    return text.getvalue().replace('\ue000', '\0').encode(encoding, errors='replace')


def mutate_png(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Damage a PNG file; every other time its checksums are corrected, so that decoders get past them."""
    data = bytearray(mutate_bytes(rng, content, others))
    if rng.random() < 0.5:
        start = 8
        while start + 12 <= len(data):
            end = start + 8 + int.from_bytes(data[start : start + 4], 'big')
            if end + 4 > len(data):
                break
            data[end : end + 4] = zlib.crc32(data[start + 4 : end]).to_bytes(4, 'big')
            start = end + 4
    return bytes(data)


def mutate_zip(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Damage a zip archive as a whole, or one file in an archive that is otherwise valid."""
    if rng.random() < 0.4:
        return mutate_bytes(rng, content, others)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:  # the older torch.save format
        return mutate_bytes(rng, content, others)
    name = rng.choice([*files, *[name for name in files if name.endswith('.pkl')] * 3])
    files[name] = mutate_bytes(rng, files[name], list(files.values())) if files[name] else b'x'
    if rng.random() < 0.05:
        files[f'../{DECOY}'] = b''
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for name, part in files.items():
            archive.writestr(zipfile.ZipInfo(name), part)
    return buffer.getvalue()


def mutate_safetensors(rng: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Damage the bytes of a safetensors file, or the structure of its JSON header, with the length corrected."""
    if rng.random() < 0.4:
        return mutate_bytes(rng, content, others)
    length = struct.unpack('<Q', content[:8])[0]
    header = mutate_json(rng, content[8 : 8 + length], others)
    return struct.pack('<Q', len(header)) + header + content[8 + length :]
