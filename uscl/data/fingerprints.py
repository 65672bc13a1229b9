"""Frame fingerprints that survive copying: low spatial frequencies, weighted by frequency, normalised to unit length.

This is the perceptual hash based on the discrete cosine transform, with real coefficients instead of their signs: in
ultrasound, the sector and its black surroundings determine most signs, so 64 bits barely separate two clips from one
scanner. Cropping, resizing and the transform are linear and separable, so a cropped frame's fingerprint can be computed
from the thumbnail.
"""

from functools import lru_cache

import cv2
import numpy as np

SIDE = 48  # side of a thumbnail, in pixels
FINE, COARSE = 16, 8  # frequencies along each axis
BLANK_CONTRAST = 2.0  # standard deviation of a thumbnail's grey values below which there is nothing to compare
_CONTRAST = 50.0  # of thumbnails made from fingerprints, whose own contrast is not known
Crop = tuple[float, float, float, float]
NO_CROP: Crop = (0.0, 0.0, 0.0, 0.0)


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """Shrink a frame of any shape to a square: (H, W) uint8 → (SIDE, SIDE) uint8."""
    return cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@lru_cache
def cosine_basis(num: int, before: float = 0.0, after: float = 0.0, side: int = SIDE) -> np.ndarray:
    """Lowest cosine frequencies of a line of pixels that is cropped and stretched back to its length.

    Args:
        num: Number of frequencies, from 0.
        before: Fraction cut off at the start of the line.
        after: Fraction cut off at its end.
        side: Length of the line in pixels.

    Returns:
        (num, side) float32; the rows are orthonormal if nothing is cropped.
    """
    pixel = np.arange(side) + 0.5
    position = np.clip(before * side + (1 - before - after) * pixel - 0.5, 0, side - 1)
    left = np.minimum(position.astype(int), side - 2)
    stretch = np.zeros((side, side))
    stretch[np.arange(side), left] = 1 - (position - left)
    stretch[np.arange(side), left + 1] = position - left
    cosines = np.cos(np.pi * np.arange(num)[:, None] * pixel / side) * np.sqrt(2 / side)
    cosines[0] /= np.sqrt(2)
    return (cosines @ stretch).astype(np.float32)


def fingerprints(thumbnails: np.ndarray, num: int = FINE, crop: Crop = NO_CROP) -> np.ndarray:
    """Fingerprints of frames; the dot product of two is their similarity, at most 1.

    Each coefficient is weighted by its frequency, which flattens the spectrum of natural images. The mean is dropped
    and the length is 1, so brightness and contrast do not matter.

    Args:
        thumbnails: (N, SIDE, SIDE) uint8, see :func:`thumbnail`.
        num: Frequencies along each axis.
        crop: Fractions cut off at the top, bottom, left and right.

    Returns:
        (N, num² - 1) float32; zeros for a blank frame, which matches nothing.
    """
    top, bottom, left, right = crop
    values = thumbnails.astype(np.float32)
    rows, columns = cosine_basis(num, top, bottom), cosine_basis(num, left, right)
    coefficients = (rows @ values @ columns.T).reshape(len(values), num * num)[:, 1:]
    coefficients *= _weights(num)
    length = np.linalg.norm(coefficients, axis=1, keepdims=True)
    blank = (values.std(axis=(1, 2)) < BLANK_CONTRAST)[:, None] | (length == 0)
    return np.where(blank, 0, coefficients / np.where(blank, 1, length)).astype(np.float32)


def crop_fingerprints(prints: np.ndarray, num: int, crop: Crop = NO_CROP) -> np.ndarray:
    """The same, of frames of which only fingerprints are known: ``fingerprints(as_thumbnails(prints), num, crop)``.

    Args:
        prints: (N, FINE² - 1), of any length.
        num: Frequencies along each axis.
        crop: See :func:`fingerprints`.

    Returns:
        (N, num² - 1) float32; zeros for a blank frame.
    """
    cropped = prints.astype(np.float32) @ _crop_map(num, crop)
    length = np.linalg.norm(cropped, axis=1, keepdims=True)
    return np.divide(cropped, length, out=cropped, where=length > 0)


@lru_cache
def _crop_map(num: int, crop: Crop) -> np.ndarray:
    """Fingerprints, as rows, times this (FINE² - 1, num² - 1) matrix are those of the crop, up to their length."""
    top, bottom, left, right = crop
    basis = cosine_basis(FINE).T
    both = np.kron(cosine_basis(num, top, bottom) @ basis, cosine_basis(num, left, right) @ basis)[1:, 1:]
    return (both * _weights(num)[:, None] / _weights(FINE)).T.copy()


def as_thumbnails(prints: np.ndarray) -> np.ndarray:
    """Thumbnails that have these fingerprints: (N, num² - 1) → (N, SIDE, SIDE) float32, mean 0; 0 if blank.

    They lack the finer structures, so that fingerprints of their crops are only nearly those of the frame's.
    """
    num = round(np.sqrt(prints.shape[1] + 1))
    coefficients = np.zeros((len(prints), num * num), np.float32)
    coefficients[:, 1:] = prints / _weights(num)
    basis = cosine_basis(num)
    pictures = basis.T @ coefficients.reshape(-1, num, num) @ basis
    contrast = pictures.std(axis=(1, 2), keepdims=True)
    return pictures * np.divide(_CONTRAST, contrast, out=np.zeros_like(contrast), where=contrast > 0)


@lru_cache
def _weights(num: int) -> np.ndarray:
    """Weights of the coefficients, (num² - 1,) float32."""
    return np.hypot(*np.mgrid[:num, :num]).astype(np.float32).ravel()[1:]


def mirror(prints: np.ndarray) -> np.ndarray:
    """Fingerprints of the same frames mirrored left to right: odd horizontal frequencies change sign."""
    num = round(np.sqrt(prints.shape[1] + 1))
    return prints * np.tile(np.where(np.arange(num) % 2, -1, 1), num)[1:].astype(np.float32)
