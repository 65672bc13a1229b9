"""A table of what backbones use: branches of residual stages, directions of features."""

from collections.abc import Mapping
from typing import Any


def backbone_table(backbones: Mapping[str, Mapping[str, Any]]) -> dict[str, list]:
    """Build the table as ``header`` and ``rows``.

    Args:
        backbones: Name → :meth:`uscl_plugin.measures.backbone_health.BackboneHealth.as_dict`.
    """
    stages = list(dict.fromkeys(stage for facts in backbones.values() for stage in facts['branches']))
    rows = []
    for name, facts in backbones.items():
        rank = facts['effective_rank']
        shares = [f'{facts["branches"][stage]:.3f}' if stage in facts['branches'] else '–' for stage in stages]
        rank_text = '–' if rank is None else f'{rank:.1f} of at most {facts["max_rank"]}'
        rows.append([name, *shares, rank_text, str(facts['images'])])
    return {'header': ['Backbone', *stages, 'Effective rank', 'Frames'], 'rows': rows}
