"""Two-dimensional map of a dataset's features, one panel per backbone, coloured by class, video or patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from uscl.core.natural_order import natural_key
from uscl.data.annotations import read_annotations
from uscl.data.frame_ids import frame_id
from uscl.stats.cohesion import normalise

from .feature_map import COLOURS, MAX_NAMED, embed, legend_below, legend_entry, ramp, style_map
from .figures import DARK, new_figure, shorten

METHODS = ('tsne', 'pca', 'umap')
GROUPINGS = {'class': 'label', 'video': 'video_id', 'patient': 'patient_id'}  # option → annotation key
_UNKNOWN = '#cbd2d9'


@dataclass(frozen=True)
class Layout:
    """Features in the plane.

    Attributes:
        positions: (N, 2) real numbers.
        axes: Axis labels; empty strings if distances have no meaning.
    """

    positions: np.ndarray
    axes: tuple[str, str] = ('', '')


def lay_out(features: np.ndarray, method: str = 'tsne', seed: int = 0) -> Layout:
    """Lay out L2-normalised features in the plane, so that nearby points have high cosine similarity.

    Args:
        features: (N, C) finite real numbers.
        method: 'pca' (axis labels show the fraction of variance), 'tsne' (see :func:`~uscl.reports.feature_map.embed`)
            or 'umap' (cosine distance, umap-learn defaults).
        seed: Seed of the layout; PCA needs none.

    Returns:
        Positions and axis labels.

    Raises:
        ValueError: The method is unknown or not installed, or there are fewer than two features.
    """
    check_method(method)
    if len(features) < 2:
        raise ValueError(f'A map needs at least two frames, got {len(features)}.')
    if method == 'tsne':
        return Layout(embed(features, seed))
    unit = normalise(np.asarray(features, dtype=np.float64))
    if method == 'umap':
        from umap import UMAP

        return Layout(UMAP(metric='cosine', random_state=seed, n_jobs=1).fit_transform(unit))
    with np.errstate(invalid='ignore'):
        components = PCA(n_components=2, svd_solver='full').fit(unit)
    shares = np.nan_to_num(components.explained_variance_ratio_)  # 0 / 0 if all features are equal
    first, second = (f'component {k}: {share:.1%} of the variance' for k, share in enumerate(shares, start=1))
    return Layout(components.transform(unit), (first, second))


def check_method(method: str) -> None:
    """Reject a method that is unknown or not installed, before any work is done.

    Raises:
        ValueError: The message says what to install.
    """
    if method not in METHODS:
        raise ValueError(f'method should be one of {", ".join(METHODS)}, got {method!r}.')
    if method == 'umap' and find_spec('umap') is None:
        raise ValueError('UMAP is not installed: pip install umap-learn, or choose tsne or pca.')


def list_frames(
    data_root: str | Path, group_by: str, frames_per_video: int | None = None, split: str | None = None
) -> tuple[list[str], list[str | None]]:
    """List frames of a converted dataset with the group of each.

    Args:
        data_root: Folder with ``annotations.json``.
        group_by: A key of :data:`GROUPINGS`.
        frames_per_video: Maximum number of frames per video, evenly spaced; None takes all.
        split: Use only videos of this split; None takes all.

    Returns:
        Names of N frames (see :func:`~uscl.data.frame_ids.frame_id`) and N groups, None if not annotated.

    Raises:
        FileNotFoundError: The annotation is missing.
        ValueError: The annotation is invalid or does not have the split.
    """
    file = Path(data_root, 'annotations.json')
    entries = read_annotations(file)['data_list']
    chosen = [entry for entry in entries if split is None or entry['split'] == split]
    if not chosen:
        splits = sorted({entry['split'] for entry in entries if entry['split'] is not None})
        raise ValueError(f'{file} has no video' + (f' of split {split!r}, only {splits}.' if split else '.'))
    names: list[str] = []
    groups: list[str | None] = []
    for entry in chosen:
        count = entry['num_frames']
        kept = np.linspace(0, count - 1, min(frames_per_video or count, count)).round().astype(int)
        names += [frame_id(entry['video_id'], k) for k in kept]
        groups += [entry[GROUPINGS[group_by]]] * len(kept)
    return names, groups


def embedding_figure(maps: Mapping[str, Layout], groups: Sequence[str | None], kind: str = 'class') -> Figure:
    """Maps side by side, one point per frame.

    Up to twenty groups get a colour each and a legend; more are coloured along a ramp in sorted order.

    Args:
        maps: Backbone name → layout of N frames.
        groups: N names, None if unknown (grey).
        kind: What the groups are, for the legend.

    Returns:
        The figure.
    """
    known = sorted({name for name in groups if name is not None}, key=natural_key)
    few = len(known) <= MAX_NAMED
    colours: dict[str | None, object] = {None: _UNKNOWN}
    colours |= dict(zip(known, COLOURS if few else ramp(len(known)), strict=False))
    counts = {name: sum(group == name for group in groups) for name in (*known, None)} if few else {}
    figure = new_figure(5.0 * len(maps), 5.0)
    panels = figure.subplots(1, len(maps), squeeze=False)[0]
    order = np.random.default_rng(0).permutation(len(groups))  # otherwise the last group would cover the others
    point = [colours[groups[k]] for k in order]
    for axes, (name, layout) in zip(panels, maps.items(), strict=True):
        axes.scatter(*layout.positions[order].T, c=point, s=14, alpha=0.6, linewidths=0)
        style_map(axes, name)
        axes.set_xlabel(layout.axes[0], fontsize=9, color=DARK)
        axes.set_ylabel(layout.axes[1], fontsize=9, color=DARK)
        if any(layout.axes):
            axes.set_aspect('equal', adjustable='datalim')  # same scale in both directions
    handles = [
        legend_entry(colours[name], f'{shorten(name or f"no {kind}", 40)} ({n})') for name, n in counts.items() if n
    ]
    if not few:
        handles = [legend_entry(DARK, f'{len(known)} {kind}s, one colour each')]
        handles += [legend_entry(_UNKNOWN, f'no {kind}')] if None in groups else []
    legend_below(figure, handles, min(2 * len(maps), 6))
    return figure
