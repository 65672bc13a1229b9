"""The effective pipeline of a dataset config: its steps, with changes by type, and the view settings in them."""

import copy
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

_SIZED = (
    *('DrawViews', 'AntialiasedRandomResizedCrop', 'AntialiasedResize'),
    *('RandomResizedCrop', 'ResizedCrop', 'Resize', 'CenterCrop', 'RandomCrop'),  # in users' own pipelines
)
_GROWING = ('DrawViews', 'AntialiasedRandomResizedCrop')


def apply_steps(pipeline: Sequence, steps: Mapping[str, Mapping[str, Any]] | None) -> Sequence:
    """Change arguments of pipeline steps by type, also inside wrappers such as ``TransformBroadcaster``.

    A type that occurs several times is changed everywhere. Arguments that are not named are kept.

    Args:
        pipeline: Transform configs, as passed to a dataset. Anything that is not a config is kept.
        steps: Type → arguments to change. A scope prefix in the pipeline is ignored (``mmengine.RandomFlip`` is
            ``RandomFlip``).

    Returns:
        A changed copy; the pipeline itself if there is nothing to change.

    Raises:
        ValueError: The pipeline has no step of that type; the message lists its types. Or ``steps`` is malformed.

    >>> apply_steps([dict(type='SampleVideoFrames', num_frames=3)], dict(SampleVideoFrames=dict(num_frames=1)))
    [{'type': 'SampleVideoFrames', 'num_frames': 1}]
    """
    if not steps:
        return pipeline
    if not isinstance(steps, Mapping) or not all(isinstance(changes, Mapping) for changes in steps.values()):
        raise ValueError(f'steps should be a dict of dicts, type → arguments to change, got {steps!r}.')
    found: dict[str, None] = {}  # in pipeline order
    changed = [_change(step, steps, found) for step in pipeline]
    if unknown := [kind for kind in steps if kind not in found]:
        names, known = ', '.join(map(str, unknown)), ', '.join(found) or 'no steps'
        raise ValueError(f'steps names {names}, which the pipeline does not have: it has {known}.')
    return changed


def _change(step: Any, steps: Mapping[str, Mapping[str, Any]], found: dict[str, None]) -> Any:
    """Change one step and those inside it, and record the types found."""
    if isinstance(step, list | tuple):  # MultiView takes a list of pipelines
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


def unwrapped(dataset: Mapping[str, Any]) -> Any:
    """The config of the dataset inside wrappers; the first of a ``ConcatDataset``."""
    while 'pipeline' not in dataset and ('dataset' in dataset or dataset.get('datasets')):
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def dataset_pipeline(dataset: Mapping[str, Any]) -> Sequence:
    """The effective pipeline of a dataset config, or of that inside wrappers: ``pipeline``, changed by its ``steps``.

    Raises:
        KeyError: There is no ``pipeline``.
        ValueError: See :func:`apply_steps`.
    """
    dataset = unwrapped(dataset)
    return apply_steps(dataset['pipeline'], dataset.get('steps'))


def settle_steps(dataset: MutableMapping[str, Any]) -> Sequence:
    """Apply the ``steps`` of a dataset config to its ``pipeline`` in place, so that single steps can be changed.

    Returns:
        The new pipeline of the config: a copy that shares no step with another dataset.

    Raises:
        ValueError: See :func:`apply_steps`.
    """
    dataset['pipeline'] = copy.deepcopy(dataset_pipeline(dataset))
    dataset.pop('steps', None)
    return dataset['pipeline']


def input_size(dataset: Mapping[str, Any]) -> int:
    """Side length of a view in pixels: that of the last resizing or cropping step in a dataset config.

    Raises:
        ValueError: No step has a size; see also :func:`apply_steps`.
    """
    size = None
    for step in _flatten(dataset_pipeline(dataset)):
        value = step.get('scale', step.get('crop_size'))
        if step.get('type') in _SIZED and value is not None:
            size = int(value if isinstance(value, int) else value[0])
    if size is None:
        raise ValueError(f'The pipeline does not define the view size: it has none of {_SIZED}.')
    return size


def set_input_size(dataset: MutableMapping[str, Any], size: int) -> None:
    """Set the side length in pixels of every resizing or cropping step in a dataset config, in place."""
    for step in _flatten(settle_steps(dataset)):
        for key in ('scale', 'crop_size'):
            if step.get('type') in _SIZED and key in step:
                step[key] = size if isinstance(step[key], int) else (size, size)


def size_schedule(dataset: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the views of a dataset config grow during a run, see :class:`.SizeSchedule`; None if they have one size."""
    schedules = (step.get('schedule') for step in _flatten(dataset_pipeline(dataset)) if step.get('type') in _GROWING)
    return next((dict(schedule) for schedule in schedules if schedule is not None), None)


def set_size_schedule(dataset: MutableMapping[str, Any], schedule: Mapping[str, Any] | None) -> bool:
    """Let all views of a dataset config grow during a run, in place; None: views of one size.

    Returns:
        False, and nothing is changed, if a step with a size cannot grow.
    """
    sized = [step for step in _flatten(settle_steps(dataset)) if step.get('type') in _SIZED]
    if not sized or any(step['type'] not in _GROWING for step in sized):
        return False
    for step in sized:
        step['schedule'] = None if schedule is None else dict(schedule)
    return True


def color_type(dataset: Mapping[str, Any]) -> str:
    """How a dataset loads frames, ``'color'`` (also if it keeps grey as one channel) or ``'grayscale'``."""
    loads = (step for step in _flatten(dataset_pipeline(dataset)) if step.get('type') == 'LoadVideoFrames')
    return 'grayscale' if next(loads, {}).get('color_type') == 'grayscale' else 'color'


def _flatten(pipeline: Iterable) -> Iterator[dict]:
    for step in pipeline:
        if isinstance(step, dict):
            yield step
            yield from _flatten(step.get('transforms', ()))
        else:  # MultiView takes a list of pipelines
            yield from _flatten(step)
