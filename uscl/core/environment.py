"""Find the installed OpenMMLab family, and say in one sentence what to change if it cannot work."""

import warnings
from collections.abc import Mapping
from importlib import metadata

# import name → distributions that provide it; both families write into the same top-level packages
ONEDL = {
    'mmengine': ['onedl-mmengine'],
    'mmcv': ['onedl-mmcv'],
    'mmpretrain': ['onedl-mmpretrain'],
    'mmdet': ['onedl-mmdetection'],
}
OPENMMLAB = {
    'mmengine': ['mmengine', 'mmengine-lite'],
    'mmcv': ['mmcv', 'mmcv-lite'],
    'mmpretrain': ['mmpretrain'],
    'mmdet': ['mmdet'],
}
INSTALL = "in a clone of the repository, pip install -c requirements/constraints-{0}.txt -e '.[{0}]'"


def installed_versions() -> dict[str, str]:
    """Versions of the relevant installed distributions, by distribution name."""
    names = [name for family in (ONEDL, OPENMMLAB) for group in family.values() for name in group]
    versions = {}
    for name in [*names, 'setuptools', 'numpy']:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def find_problems(versions: Mapping[str, str]) -> tuple[str | None, list[str]]:
    """Check a set of installed versions.

    Args:
        versions: Distribution name → version, as from :func:`installed_versions`.

    Returns:
        The problem that makes the import impossible (None if there is none), and those that only affect one part.
    """
    ours = sorted(name for group in ONEDL.values() for name in group if name in versions)
    theirs = sorted(name for group in OPENMMLAB.values() for name in group if name in versions)
    if ours and theirs:
        what = f"two OpenMMLab families overwrite each other's files ({', '.join(ours)}; {', '.join(theirs)})"
        return f'{what}: create a fresh environment and, {INSTALL.format("onedl")}', []
    if not ours and not theirs:
        return f'no OpenMMLab packages (mmengine, mmcv, mmpretrain) are installed: {INSTALL.format("onedl")}', []
    family, extra = (ONEDL, 'onedl') if ours else (OPENMMLAB, 'openmmlab')
    provided = {module for module, group in family.items() if any(name in versions for name in group)}
    absent = [module for module in ('mmengine', 'mmcv') if module not in provided]
    if absent:
        return f'{" and ".join(absent)} missing next to {", ".join(ours or theirs)}: {INSTALL.format(extra)}', []
    if theirs and _major(versions.get('setuptools', '0')) >= (82,):
        what = f'mmengine needs pkg_resources, which setuptools {versions["setuptools"]} no longer has'
        remedy = f"pip install 'setuptools<82', or create a fresh environment and, {INSTALL.format('onedl')}"
        return f'{what}: {remedy}', []
    notes = []
    mmcv = versions.get('mmcv') or versions.get('mmcv-lite') or '0'
    if 'mmdet' in versions and _major(versions['mmdet']) <= (3, 3) and _major(mmcv) >= (2, 2):
        notes.append(f"mmdet {versions['mmdet']} refuses mmcv {mmcv}: pip install 'mmcv-lite==2.1.0' to use detection.")
    if theirs and _major(mmcv) < (2, 2) and _major(versions.get('numpy', '1')) >= (2,):
        what = f'mmcv {mmcv} cannot jitter hue with numpy {versions["numpy"]}'
        notes.append(f"{what}: pip install 'numpy<2' 'opencv-python<4.12'.")
    if 'mmpretrain' not in provided:
        what = 'mmpretrain is not installed, so only the SPG transforms are registered'
        notes.append(f'{what}: to pretrain, {INSTALL.format(extra)}')
    return None, notes


def check_environment() -> None:
    """Check the installed packages.

    Raises:
        ImportError: The plugin cannot work; the message is one sentence that says what to install.

    Warns:
        UserWarning: A part of the plugin cannot be used.
    """
    fatal, notes = find_problems(installed_versions())
    if fatal:
        raise ImportError(f'uscl_plugin: {fatal}')
    for note in notes:
        warnings.warn(f'uscl_plugin: {note}', stacklevel=3)


def _major(version: str) -> tuple[int, ...]:
    """(major, minor), as far as the parts are numeric.

    >>> _major('2.2.0rc1'), _major('84')
    ((2, 2), (84,))
    """
    return tuple(int(part) for part in version.split('.')[:2] if part.isdigit())
