"""Location of the configs and tools of this package, in a clone and in an installed wheel."""

from pathlib import Path

_SITE = Path(__file__).resolve().parents[2]  # parent folder of both packages
_MIM = _SITE / 'uscl_plugin' / '.mim'  # where mim looks in OpenMMLab packages


def shipped_root(mim: Path = _MIM) -> Path:
    """The folder that holds ``configs``, ``tools`` and ``requirements``: ``.mim`` in a wheel, otherwise the clone."""
    return mim if (mim / 'configs').is_dir() else mim.parent.parent


CONFIGS = shipped_root() / 'configs'
TOOLS = shipped_root() / 'tools'
REQUIREMENTS = shipped_root() / 'requirements'


def list_configs(folder: Path = CONFIGS) -> list[Path]:
    """The configs that can be run, sorted, without those that only serve as bases."""
    return sorted(path for path in folder.glob('[!_]*/**/*.py') if path.is_file())


def find_shipped_config(name: str, folder: Path = CONFIGS) -> Path:
    """Find the config that a user means.

    Args:
        name: In this order: a path on the user's machine; a path below the shipped ``configs``, with or without the
            leading ``configs/``; the name of a shipped config. The ``.py`` may be omitted from the last two.
        folder: The shipped configs.

    Raises:
        ValueError: No shipped config matches the name, or several do.
    """
    if Path(name).is_file():
        return Path(name)
    below = Path(name if name.endswith('.py') else f'{name}.py')
    if below.parts[:1] == ('configs',):
        below = below.relative_to('configs')
    if not below.is_absolute() and '..' not in below.parts and (folder / below).is_file():
        return folder / below
    known = {path.relative_to(folder).as_posix(): path for path in list_configs(folder)}
    found = [path for path in known if Path(path).name == str(below)]
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise ValueError(f'{name} matches {len(found)} configs: choose one of {", ".join(found)}.')
    import difflib  # here, to keep `uscl --help` fast

    stems = {Path(path).stem: path for path in known}
    similar = difflib.get_close_matches(below.stem, stems, n=3, cutoff=0.5)
    hint = f'did you mean {" or ".join(similar)}? ' if similar else ''
    raise ValueError(f'{name} is neither a file nor a shipped config: {hint}`uscl configs` lists them.')
