"""What a pipeline of a config says of its views: their size, and grey or colour."""

from collections.abc import Iterable, Iterator

_SIZED = (
    *('DrawViews', 'AntialiasedRandomResizedCrop', 'AntialiasedResize'),
    *('RandomResizedCrop', 'ResizedCrop', 'Resize', 'CenterCrop', 'RandomCrop'),  # of a user's own pipeline
)


def input_size(pipeline: Iterable[dict]) -> int:
    """Side in pixels of a view: that of the last resizing or cropping step of a pipeline, also inside wrappers.

    Raises:
        ValueError: No step states a size.
    """
    size = None
    for step in _flatten(pipeline):
        value = step.get('scale', step.get('crop_size'))
        if step.get('type') in _SIZED and value is not None:
            size = int(value if isinstance(value, int) else value[0])
    if size is None:
        raise ValueError(f'The pipeline states no size of the views: it has none of {_SIZED}.')
    return size


def set_input_size(pipeline: Iterable[dict], size: int) -> None:
    """Set the side in pixels of every resizing or cropping step of a pipeline, also inside wrappers, in place."""
    for step in _flatten(pipeline):
        for key in ('scale', 'crop_size'):
            if step.get('type') in _SIZED and key in step:
                step[key] = size if isinstance(step[key], int) else (size, size)


def color_type(pipeline: Iterable[dict]) -> str:
    """How a pipeline loads frames, ``'color'`` (also where it leaves grey at one channel) or ``'grayscale'``."""
    loads = (step for step in _flatten(pipeline) if step.get('type') == 'LoadVideoFrames')
    return 'grayscale' if next(loads, {}).get('color_type') == 'grayscale' else 'color'


def _flatten(pipeline: Iterable) -> Iterator[dict]:
    for step in pipeline:
        if isinstance(step, dict):
            yield step
            yield from _flatten(step.get('transforms', ()))
        else:  # MultiView has a list of pipelines
            yield from _flatten(step)
