"""Map annotation labels to class indices."""

from collections.abc import Mapping, Sequence


def class_indices(
    annotated: Sequence[str], classes: Sequence[str] | None = None, label_map: Mapping[str, int | str] | None = None
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Determine the class of each annotation label.

    Args:
        annotated: Class names in the annotation file.
        classes: Class names in index order; None takes ``annotated``, or the names in ``label_map``.
        label_map: Annotation label → class index or name in ``classes``; None: each label is its own class.

    Returns:
        Annotation label → class index, and the class names. Labels that share a class are joined as ``'a/b'`` unless
        ``classes`` names it.

    Raises:
        ValueError: ``label_map`` names a class that is not in ``classes``, or leaves a class without labels.
    """
    if label_map is None:
        names = tuple(annotated if classes is None else classes)
        return {name: index for index, name in enumerate(names)}, names
    to_index: dict[str, int] = {}
    for label, target in label_map.items():
        if isinstance(target, str):
            if classes is None or target not in classes:
                raise ValueError(f'label_map maps {label!r} to {target!r}, which is not among the classes {classes}.')
            target = list(classes).index(target)
        if target < 0 or (classes is not None and target >= len(classes)):
            raise ValueError(f'label_map maps {label!r} to class {target}, which is not an index of {classes}.')
        to_index[label] = target
    if classes is not None:
        return to_index, tuple(classes)
    names = tuple(
        '/'.join(label for label, index in to_index.items() if index == wanted)
        for wanted in range(max(to_index.values(), default=-1) + 1)
    )
    if '' in names:
        raise ValueError(f'label_map leaves class {names.index("")} without labels: number the classes from 0.')
    return to_index, names
