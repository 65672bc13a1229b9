"""A digest of tensors and metadata, for files whose format has no checksum."""

import hashlib
from collections.abc import Mapping

import torch

DIGEST = 'uscl_sha256'  # its key in the metadata


def tensor_digest(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of names, types, shapes and values, as 64 hexadecimal digits; it finds accidents, and is no signature.

    Args:
        tensors: Names to tensors on the CPU, in any order.
        metadata: Strings; :data:`DIGEST` is left out.
    """
    found = hashlib.sha256(repr(sorted((key, text) for key, text in metadata.items() if key != DIGEST)).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
