"""From the labels of an annotation to class indices."""

from collections.abc import Mapping, Sequence


def class_indices(
    annotated: Sequence[str], classes: Sequence[str] | None = None, label_map: Mapping[str, int | str] | None = None
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Decide which class each annotation label is.

    Args:
        annotated: The class names of the annotation file.
        classes: Class names in the order of their indices; None takes ``annotated``, or those of ``label_map``.
        label_map: Annotation label → class index, or class name of ``classes``; None: a label is its own class.

    Returns:
        Annotation label → class index, and the class names. Labels that share a class are joined as ``'a/b'`` where
        ``classes`` does not name it.

    Raises:
        ValueError: ``label_map`` names a class that ``classes`` does not have, or leaves a class without label.
    """
    if label_map is None:
        names = tuple(annotated if classes is None else classes)
        return {name: index for index, name in enumerate(names)}, names
    to_index: dict[str, int] = {}
    for label, target in label_map.items():
        if isinstance(target, str):
            if classes is None or target not in classes:
                raise ValueError(f'label_map sends {label!r} to {target!r}, which is not among the classes {classes}.')
            target = list(classes).index(target)
        if target < 0 or (classes is not None and target >= len(classes)):
            raise ValueError(f'label_map sends {label!r} to class {target}, which is outside the classes {classes}.')
        to_index[label] = target
    if classes is not None:
        return to_index, tuple(classes)
    names = tuple(
        '/'.join(label for label, index in to_index.items() if index == wanted)
        for wanted in range(max(to_index.values(), default=-1) + 1)
    )
    if '' in names:
        raise ValueError(f'label_map leaves class {names.index("")} without a label: number the classes from 0.')
    return to_index, names
