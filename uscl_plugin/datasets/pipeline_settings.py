"""The pipeline that a dataset's config means: its steps, changed by type, and what they say of the views."""

import copy
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

_SIZED = (
    *('DrawViews', 'AntialiasedRandomResizedCrop', 'AntialiasedResize'),
    *('RandomResizedCrop', 'ResizedCrop', 'Resize', 'CenterCrop', 'RandomCrop'),  # of a user's own pipeline
)


def apply_steps(pipeline: Sequence, steps: Mapping[str, Mapping[str, Any]] | None) -> Sequence:
    """Change arguments of a pipeline's steps by their types, also inside wrappers such as ``TransformBroadcaster``.

    A type that occurs several times is changed everywhere. Arguments that are not named stay.

    Args:
        pipeline: Configs of transforms, as a dataset takes them. What is no config stays as it is.
        steps: Type → the arguments to change. A scope in front of the pipeline's type is left out
            (``mmengine.RandomFlip`` is ``RandomFlip``).

    Returns:
        A changed copy; the pipeline itself if there is nothing to change.

    Raises:
        ValueError: The pipeline has no step of a type; names those that it has. Or ``steps`` is not as described.

    >>> apply_steps([dict(type='SampleVideoFrames', num_frames=3)], dict(SampleVideoFrames=dict(num_frames=1)))
    [{'type': 'SampleVideoFrames', 'num_frames': 1}]
    """
    if not steps:
        return pipeline
    if not isinstance(steps, Mapping) or not all(isinstance(changes, Mapping) for changes in steps.values()):
        raise ValueError(f'steps should be a dict of dicts, type → arguments to change, got {steps!r}.')
    found: dict[str, None] = {}  # in the order of the pipeline
    changed = [_change(step, steps, found) for step in pipeline]
    if unknown := [kind for kind in steps if kind not in found]:
        raise ValueError(
            f'steps names {", ".join(map(str, unknown))}, which the pipeline does not have: it has '
            f'{", ".join(found) or "no steps"}.'
        )
    return changed


def _change(step: Any, steps: Mapping[str, Mapping[str, Any]], found: dict[str, None]) -> Any:
    """One step with those inside of it; notes the types that it comes across."""
    if isinstance(step, list | tuple):  # MultiView has a list of pipelines
        return [_change(each, steps, found) for each in step]
    if not isinstance(step, dict):
        return step
    kind = _kind(step)
    found.setdefault(kind)
    changed = copy.copy(step)
    changed.update(copy.deepcopy(dict(steps.get(kind, {}))))
    if 'transforms' in changed:
        changed['transforms'] = _change(changed['transforms'], steps, found)
    return changed


def _kind(step: Mapping[str, Any]) -> str:
    kind = step.get('type')
    return kind.rpartition('.')[2] if isinstance(kind, str) else getattr(kind, '__name__', str(kind))


def dataset_pipeline(dataset: Mapping[str, Any]) -> Sequence:
    """The pipeline that the config of a dataset means: ``pipeline``, changed by its ``steps``.

    Raises:
        KeyError: It has no ``pipeline``.
        ValueError: See :func:`apply_steps`.
    """
    return apply_steps(dataset['pipeline'], dataset.get('steps'))


def settle_steps(dataset: MutableMapping[str, Any]) -> Sequence:
    """Write ``steps`` of a dataset's config into its ``pipeline``, in place, so that they can be changed one by one.

    Returns:
        The pipeline that the config now has: a copy, none of whose steps is shared with another dataset.

    Raises:
        ValueError: See :func:`apply_steps`.
    """
    dataset['pipeline'] = copy.deepcopy(dataset_pipeline(dataset))
    dataset.pop('steps', None)
    return dataset['pipeline']


def input_size(dataset: Mapping[str, Any]) -> int:
    """Side in pixels of a view: that of the last resizing or cropping step of a dataset's config.

    Raises:
        ValueError: No step states a size, or see :func:`apply_steps`.
    """
    size = None
    for step in _flatten(dataset_pipeline(dataset)):
        value = step.get('scale', step.get('crop_size'))
        if step.get('type') in _SIZED and value is not None:
            size = int(value if isinstance(value, int) else value[0])
    if size is None:
        raise ValueError(f'The pipeline states no size of the views: it has none of {_SIZED}.')
    return size


def set_input_size(dataset: MutableMapping[str, Any], size: int) -> None:
    """Set the side in pixels of every resizing or cropping step of a dataset's config, in place."""
    for step in _flatten(settle_steps(dataset)):
        for key in ('scale', 'crop_size'):
            if step.get('type') in _SIZED and key in step:
                step[key] = size if isinstance(step[key], int) else (size, size)


def color_type(dataset: Mapping[str, Any]) -> str:
    """How a dataset loads frames, ``'color'`` (also where it leaves grey at one channel) or ``'grayscale'``."""
    loads = (step for step in _flatten(dataset_pipeline(dataset)) if step.get('type') == 'LoadVideoFrames')
    return 'grayscale' if next(loads, {}).get('color_type') == 'grayscale' else 'color'


def _flatten(pipeline: Iterable) -> Iterator[dict]:
    for step in pipeline:
        if isinstance(step, dict):
            yield step
            yield from _flatten(step.get('transforms', ()))
        else:  # MultiView has a list of pipelines
            yield from _flatten(step)
