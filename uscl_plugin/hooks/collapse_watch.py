"""Detect a collapsed representation: all inputs give the same direction."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class CollapseWatch:
    """Watches measurements of :class:`ContrastiveMonitorHook` for a persistent collapse.

    The signs are a ``spread`` of the representation below ``min_spread`` (SimSiam, Chen and He, CVPR 2021, Sec. 4.1: 0
    is collapse; here the standard deviation is multiplied by √C), and projections in which even negative pairs have a
    mean cosine above ``max_similarity``. The second usually appears first: batch norm amplifies the remaining
    differences, so that a collapsed network (learning rate 1, loss at the logarithm of the number of candidates) kept a
    spread far above 0. A representation that uses few of its dimensions, but more than one, is not detected.

    Attributes:
        min_spread: Runs of USCL and SimCLR on lung clips always stayed between 0.38 and 0.64 (means of ten steps).
        max_similarity: Limit for projections of negative pairs. These runs started at 0.85 at most, and fell to 0.
        checks: Number of consecutive measurements that must show a sign before it is reported.
    """

    min_spread: float = 0.05
    max_similarity: float = 0.9
    checks: int = 100
    _signs: dict[str, tuple[int, int]] = field(default_factory=dict)  # name → first step, number of times

    def update(self, values: Mapping[str, float], step: int) -> str | None:
        """Process a measurement.

        Args:
            values: ``spread`` and ``negative_similarity``; either may be missing.
            step: Step of the run, from 1.

        Returns:
            The message to report; None if nothing is wrong, or it has already been reported.
        """
        found = {
            'spread': values.get('spread', 1.0) < self.min_spread,
            'negative_similarity': values.get('negative_similarity', 0.0) > self.max_similarity,
        }
        for name, is_sign in found.items():
            if name not in values:
                continue
            since, times = self._signs.get(name, (step, 0))
            if not is_sign:
                self._signs.pop(name, None)
                continue
            self._signs[name] = (since, times + 1)
            if times + 1 == self.checks:
                return self._message(name, values[name], since)
        return None

    def _message(self, name: str, value: float, since: int) -> str:
        what = (
            f'the representation has collapsed: its spread is {value:.4f}, below {self.min_spread}'
            if name == 'spread'
            else f'the projections have collapsed: those of different videos have a mean cosine of {value:.4f}, above '
            f'{self.max_similarity}'
        )
        return (
            f'{what}, since step {since} ({self.checks} measurements). The network gives nearly the same output for '
            f'every input, and longer training rarely helps: use a lower learning rate (optim_wrapper.optimizer.lr), a '
            f'longer warm-up or less weight decay, check that images differ (tools/visualization/browse_pairs.py), and '
            f'start from an earlier checkpoint.'
        )
