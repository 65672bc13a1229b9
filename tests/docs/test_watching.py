"""docs/watching.md lists the tags and the parts of the progress line that a run has, all of them and no others."""

import re
from pathlib import Path

import pytest
from docs_pages import DOCS, blocks
from mmengine.runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PAGE = DOCS / 'watching.md'
PART = re.compile(r'(\w+): ')


def test_tags_and_line_are_those_of_a_run(run_config, clusters):
    cfg = run_config(epochs=1)
    cfg.default_hooks.held_out.update(data_root=str(clusters), split=None, interval=1)
    runner = Runner.from_cfg(cfg)
    runner.train()
    events = EventAccumulator(str(Path(runner.log_dir) / 'vis_data'))
    events.Reload()
    rows = re.search(r'\| tag \| from \|\n\|---\|---\|\n((?:\|.*\n)+)', PAGE.read_text(encoding='utf-8'))[1]
    listed = [tag for row in rows.splitlines() for tag in re.findall(r'`([^`]+)`', row.split('|')[1])]
    assert sorted(listed) == sorted(events.Tags()['scalars'] + events.Tags()['images'])

    lines = next(Path(runner.log_dir).glob('*.log')).read_text().splitlines()
    said = [PART.findall(line.partition('Epoch(train)')[2]) for line in lines if 'Epoch(train)' in line]
    (shown,) = [block.code for block in blocks(PAGE, 'text')]
    assert PART.findall(shown) in said


@pytest.mark.parametrize('name', PART.findall(blocks(PAGE, 'text')[0].code))
def test_each_part_of_the_line_is_explained(name):
    assert f'`{name}`' in PAGE.read_text(encoding='utf-8')
