"""The card beside an exported classifier."""

from collections.abc import Mapping
from typing import Any

from uscl.core.escaping import for_markdown
from uscl.core.tables import markdown


def exported_card(name: str, target: str, facts: Mapping[str, Any], agreement: str) -> str:
    """What the file takes and returns, where it comes from, and what it is not for, as Markdown.

    Args:
        name: The file.
        target: Its format.
        facts: What it says of itself, see :func:`.model_export.describe`.
        agreement: Table of how far 8 bits agree with floating point; empty for a model in floating point.
    """
    source, settings = facts['source'], facts['settings']
    mask = 'none' if settings['mask_tolerance'] is None else 'pixels that never change were blanked: blank them first'
    rows = [
        ('file', f'{name} ({target}), written by uscl_plugin {facts["package"]}'),
        ('made from', f'{source["file"]} (SHA-256 {source["sha256"]}), whose card says how good it is'),
        ('input frames', facts['frames']),
        ('frames per second', f'{settings["fps"] or "all"}, as in training'),
        ('masks', mask),
        ('inside', f'shorter side at most {settings["size"]}, then {facts["size"]} x {facts["size"]}, normalised'),
        ('output probabilities', f'float32 (N, {len(facts["classes"])}): {", ".join(facts["classes"])}'),
        ('output features', 'float32 (N, D): pooled features of the backbone'),
        ('a clip', 'the mean of the probabilities of its frames'),
    ]
    bits = f'\n## In 8 bits\n\nOn clips that did not calibrate it:\n\n{agreement}\n' if agreement else ''
    return f"""# Classifier: {for_markdown(', '.join(facts['classes']))}

{markdown(['', ''], rows)}
{bits}
## Limits

For research. It is not a medical device, gives no diagnosis and was not validated for clinical use. It only knows the
classes above, and was trained on the patients, machines and views of one data folder: on others it may fail without a
sign. The licence of the training data may restrict its use.
"""
