"""Small synthetic datasets, and a component labelling that shares nothing with the package."""

from pathlib import Path

import numpy as np
from PIL import Image

GREEN, RED = (0, 255, 0), (255, 0, 0)


def save(path: Path, pixels, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path, **options)
    return path


def scan(seed: int = 0, size=(30, 40)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, size, dtype=np.uint8)


def blobs(*boxes, size=(30, 40)) -> np.ndarray:
    """A black and white mask with rectangles (top, left, height, width)."""
    mask = np.zeros(size, np.uint8)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = 255
    return mask


def paint(*regions, size=(30, 40)) -> np.ndarray:
    """A colour mask with rectangles (colour, top, left, height, width)."""
    mask = np.zeros((*size, 3), np.uint8)
    for colour, top, left, height, width in regions:
        mask[top : top + height, left : left + width] = colour
    return mask


def flood_components(mask: np.ndarray) -> list[frozenset]:
    """The sets of (row, column) of a mask that are connected over eight neighbours, by flood fill."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    components = []
    while left:
        stack, found = [left.pop()], set()
        while stack:
            y, x = stack.pop()
            found.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            stack += near
        components.append(frozenset(found))
    return components


def make_uclm(root: Path, patients: dict[str, str]) -> Path:
    """BUS-UCLM: patients by code, with one scan a letter: b(enign), m(alignant), n(ormal), two lesions for 'x'."""
    regions = {
        'b': [(GREEN, 5, 5, 8, 8)],
        'm': [(RED, 5, 5, 8, 8)],
        'n': [],
        'x': [(GREEN, 5, 5, 8, 8), (RED, 5, 13, 8, 8)],
    }
    for code, letters in patients.items():
        for number, letter in enumerate(letters):
            name = f'{code}_{number:03d}.png'
            save(root / 'images' / name, scan(number))
            save(root / 'masks' / name, paint(*regions[letter]))
    return root
