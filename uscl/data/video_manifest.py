"""The facts that the converter stores beside the frames of a video."""

import json
from pathlib import Path

MANIFEST = 'video.json'


def read_manifest(folder: str | Path) -> dict:
    """What the converter stored beside the frames of a video; empty if there is none that can be read."""
    try:
        manifest = json.loads(Path(folder, MANIFEST).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def source_digest(manifest: dict) -> str | None:
    """SHA-256 of a video's source file by its manifest; None if it is not stored."""
    source = manifest.get('source')
    digest = source.get('sha256') if isinstance(source, dict) else None
    return digest if isinstance(digest, str) and digest else None
