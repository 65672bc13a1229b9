"""The tables of docs/configs.md, made of the configs and of the docstrings.

python tests/docs/config_table.py writes them into the page; a test compares.
"""

import inspect
import re
import sys

from docs_pages import DOCS, ROOT
from mmengine.config import Config
from mmengine.registry import HOOKS, TRANSFORMS
from mmpretrain.registry import DATASETS, MODELS

import uscl_plugin  # noqa: F401 (registers)

PAGE = DOCS / 'configs.md'
FOLDERS = ('uscl', 'baselines', 'pocus', 'udiat_b', 'busi', 'bus_uclm')
OPTIONS = {
    'Data': (DATASETS, ('VideoClusterDataset', 'VideoFrameDataset')),
    'Transforms': (
        TRANSFORMS,
        (
            *('SampleVideoFrames', 'LoadVideoFrames', 'MixFrames', 'AntialiasedRandomResizedCrop', 'AntialiasedResize'),
            *('DrawViews', 'PackViews', 'PackFrames', 'LoadFrame', 'SampleNearbyPair'),
            *('SampleHardNegatives', 'SampleSpacedFrames', 'AddMetaPair'),
        ),
    ),
    'Models': (
        MODELS,
        (
            'MapTIMMBackbone', 'USCL', 'USCLHead', 'LightlyNTXentLoss', 'SPGDataPreprocessor',
            'PiModel', 'TemporalEnsembling', 'FixMatch',
            'WeightedPairHead', 'WeightedNTXentLoss',
            'UCL', 'HiCo', 'LevelNeck', 'HiCoHead', 'MetaUSCL', 'PairWeightHead',
        ),
    ),
    'Hooks': (
        HOOKS,
        (
            'HeldOutHook', 'ContrastiveMonitorHook', 'PairPictureHook', 'FiniteLossHook', 'BackboneHealthHook',
            'PlainCheckpointHook', 'ProvenanceHook', 'SampleSeedHook', 'BackboneCheckHook', 'ClassCheckHook',
            'FreezeHook',
        ),
    ),
}  # fmt: skip


def render():
    """Name of a table → its Markdown."""
    tables = {folder: config_table(folder) for folder in FOLDERS}
    for title, (registry, names) in OPTIONS.items():
        tables[title] = '\n\n'.join(option_table(registry.get(name)) for name in names)
    return tables


def config_table(folder):
    rows = ['| config | what it is | batch | epochs |', '|---|---|---|---|']
    for path in sorted((ROOT / 'configs' / folder).glob('*.py')):
        cfg = Config.fromfile(path, import_custom_modules=False)
        batch = cfg.train_dataloader.batch_size if 'train_dataloader' in cfg else '–'
        epochs = cfg.train_cfg.max_epochs if 'train_cfg' in cfg else '–'
        rows.append(f'| `{path.stem}` | {cell(first_sentence(path))} | {batch} | {epochs} |')
    return '\n'.join(rows)


def first_sentence(path):
    """Of the comment at the head of a config."""
    lines = []
    for line in path.read_text(encoding='utf-8').splitlines():
        if not line.startswith('#') or line.startswith('#   '):
            break
        lines.append(line.removeprefix('#').strip())
    text = ' '.join(lines)
    return re.sub(r':$', '.', re.split(r'(?<=[^.]{3}\.)\s(?=[A-Z`])', text)[0])


def option_table(cls):
    summary = ' '.join(inspect.getdoc(cls).split('\n\n')[0].split())
    head = f'### {cls.__name__}\n\n{plain(summary)}\n'
    arguments = {}  # own before inherited ones
    for owner in cls.__mro__ if cls.__module__.startswith('uscl_plugin.datasets.video') else (cls,):
        if owner.__module__.startswith('uscl_plugin.'):
            defaults = inspect.signature(owner.__init__).parameters
            own = {
                name: (text, defaults[name.lstrip('*')])
                for name, text in arguments_of(owner)
                if name.lstrip('*') in defaults
            }
            arguments = {name: found for name, found in arguments.items() if not name.startswith('*')}
            arguments |= {name: found for name, found in own.items() if name not in arguments}
    if not arguments:
        return f'{head}\nNo options.'
    rows = ['| option | default | |', '|---|---|---|']
    for name, (text, parameter) in arguments.items():
        is_free = parameter.default is inspect.Parameter.empty
        default = (
            '' if parameter.kind is parameter.VAR_KEYWORD else 'required' if is_free else f'`{parameter.default!r}`'
        )
        rows.append(f'| `{name}` | {default} | {cell(plain(text))} |')
    return head + '\n' + '\n'.join(rows)


def arguments_of(cls):
    """The pairs (name, text) of a Google docstring's section."""
    match = re.search(r'^Args:\n(.*?)(?=^\S|\Z)', inspect.getdoc(cls), re.M | re.S)
    if match is None:
        return []
    body = inspect.cleandoc(match[1])
    parts = re.split(r'^(\*{0,2}\w+)(?: \([^)]*\))?: ', body, flags=re.M)
    return [(name, ' '.join(text.split())) for name, text in zip(parts[1::2], parts[2::2], strict=True)]


def plain(text):
    """Without the marks of Sphinx."""
    text = re.sub(r':\w+:`~?(?:[\w.]+\.)?(\w+)`', r'`\1`', text)
    return text.replace('``', '`')


def cell(text):
    return text.replace('|', '\\|')


def fill(page, tables):
    """The page with each table between its marks."""
    for name, table in tables.items():
        begin, end = f'<!-- table {name} -->\n', f'<!-- end {name} -->'
        before, _, rest = page.partition(begin)
        _, mark, after = rest.partition(end)
        if not mark:
            raise ValueError(f'{PAGE} has no {begin.strip()} … {end}')
        page = f'{before}{begin}\n{table}\n\n{end}{after}'
    return page


if __name__ == '__main__':
    PAGE.write_text(fill(PAGE.read_text(encoding='utf-8'), render()), encoding='utf-8')
    print(f'wrote {PAGE}', file=sys.stderr)
