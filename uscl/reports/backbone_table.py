"""What backbones use, as a table: branches of residual stages, directions of features."""

from collections.abc import Mapping
from typing import Any

from .html_report import HtmlReport


def add_backbone_health(page: HtmlReport, backbones: Mapping[str, Mapping[str, Any]]) -> None:
    """Add the table, and how to read it.

    Args:
        page: The page.
        backbones: Name → :meth:`uscl_plugin.measures.backbone_health.BackboneHealth.as_dict`.
    """
    stages = list(dict.fromkeys(stage for facts in backbones.values() for stage in facts['branches']))
    rows = []
    for name, facts in backbones.items():
        rank = facts['effective_rank']
        shares = [f'{facts["branches"][stage]:.3f}' if stage in facts['branches'] else '–' for stage in stages]
        rank_text = '–' if rank is None else f'{rank:.1f} of at most {facts["max_rank"]}'
        rows.append([name, *shares, rank_text, str(facts['images'])])
    page.table(['Backbone', *stages, 'Effective rank', 'Frames'], rows)
    page.paragraph(
        'Stages: how much of what tells frames apart a residual stage takes from its branches rather than its '
        'shortcuts. It is 0 where they are shut, so that their layers do nothing; 0.4 to 0.6 in an untrained ResNet '
        'that starts with open ones. Effective rank (RankMe): how many directions the pooled features use, their mean '
        'included; it is 1 where all frames give the same, and grows with their number.'
    )
