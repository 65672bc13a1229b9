"""What works without hosts: `uscl` with no OpenMMLab package, the SPG transforms with mmengine and mmcv alone."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOSTS = ('mmcv', 'mmdet', 'mmengine', 'mmpretrain')


def run(code, folder, blocked=()):
    """Run code in a process in which the blocked packages cannot be imported; its standard output."""
    block = f'import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n'
    environment = os.environ | {'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, '-c', block + code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def processor_time(arguments, folder):
    """Seconds of one core that a process takes, however many share it: the least of five."""
    found = []
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | {'PYTHONPATH': str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        found.append(usage.ru_utime + usage.ru_stime)
    return min(found)


def test_uscl_imports_nothing_that_takes_time(tmp_path):
    heavy = ('torch', 'numpy', 'cv2', 'mmengine', 'uscl_plugin')
    code = f'import uscl; print(uscl.__version__, *(set({heavy}) & set(sys.modules)))'
    assert re.fullmatch(r'\d+\.\d+\.\d+', run(code, tmp_path).strip())
    empty = processor_time(['-c', ''], tmp_path)
    assert processor_time(['-c', 'import uscl'], tmp_path) - empty < 0.2


@pytest.mark.skipif(not hasattr(os, 'wait4'), reason='this system does not say what a process took')
@pytest.mark.parametrize('arguments', [['--help'], ['convert', '--help']])
def test_help_is_there_at_once(arguments, tmp_path):
    assert processor_time(['-m', 'uscl', *arguments], tmp_path) < 0.5


def test_every_module_of_uscl_does_without_hosts(tmp_path):
    code = """if True:
    import importlib, pkgutil, uscl
    names = [found.name for found in pkgutil.walk_packages(uscl.__path__, 'uscl.') if found.name != 'uscl.__main__']
    for name in names:
        importlib.import_module(name)
    print(len(names), 'torch' in sys.modules)
    """
    count, has_torch = run(code, tmp_path, (*HOSTS, 'uscl_plugin')).split()
    assert int(count) > 80 and has_torch == 'False'


def test_clips_are_converted_checked_and_drawn_from(tmp_path):
    code = f"""if True:
    import runpy
    import numpy as np
    convert = ['{ROOT}/demo', '--out', 'data', '--workers', '1']
    for tool, arguments in dict(
        [('dataset_converters/videos_to_clusters', convert), ('analysis/check_dataset', ['data'])]
    ).items():
        assert runpy.run_path(f'{ROOT}/tools/{{tool}}.py')['main'](arguments) == 0
    from uscl.data.spg import draw_frames, draw_ratios, positive_pair
    from uscl.data.video_folder import VideoFolder
    videos, rng = VideoFolder('data'), np.random.default_rng(0)
    for k in range(len(videos)):
        frames = videos.load(k, draw_frames(len(videos[k]['frames']), 3, rng))
        first, second = positive_pair(frames, draw_ratios(rng=rng))
        assert first.shape == second.shape == frames[0].shape and first.dtype == np.float32
    print(len(videos))
    """
    out = run(code, tmp_path, (*HOSTS, 'uscl_plugin'))
    assert int(out.split()[-1]) == 15


@pytest.mark.slow
def test_the_pages_loop_trains_with_lightly(tmp_path):
    page = (ROOT / 'docs' / 'spg_anywhere.md').read_text()
    block = re.search(r'```python\n(.*?)```', page, re.DOTALL)[1]
    assert len([line for line in block.splitlines() if line.strip()]) <= 42
    out = run(block, tmp_path, (*HOSTS, 'uscl_plugin'))
    assert re.search(r'\d\.\d\d; chance is log\(2N - 1\) = 2\.40', out)


def test_transforms_without_mmpretrain_and_mmdet(tmp_path):
    """They can neither be imported nor found."""
    code = """if True:
    import importlib.util
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name in ('mmpretrain', 'mmdet') else find(name, *rest)
    import numpy as np
    import uscl_plugin
    from mmengine.dataset import Compose
    from mmengine.registry import TRANSFORMS, HOOKS
    steps = [dict(type='SampleVideoFrames'), dict(type='LoadVideoFrames'), dict(type='MixFrames', out_dtype='uint8'),
             dict(type='TransformBroadcaster', mapping=dict(img='img'), auto_remap=True,
                  transforms=[dict(type='AntialiasedResize', scale=32)])]
    pipeline = [TRANSFORMS.build(step) for step in steps]
    sample = dict(frames=list(np.random.default_rng(0).integers(0, 256, (9, 40, 50), np.uint8)), video_id='v')
    for step in pipeline:
        sample = step(sample)
    assert [view.shape for view in sample['img']] == [(32, 32, 3)] * 2
    frames = [np.full((4, 6, 3), k, np.uint8) for k in range(3)]
    steps = [dict(type=name) for name in ('SampleVideoFrames', 'LoadVideoFrames', 'MixFrames', 'PackViews')]
    packed = Compose(steps)(dict(frames=frames, video_id='v'))
    first, second = (float(view.unique()) for view in packed['inputs'])
    ratios = packed['data_samples'].mix_ratios
    assert abs(first - (1 - ratios[0])) < 1e-5 and abs(second - (1 + ratios[1])) < 1e-5
    assert [tuple(view.shape) for view in packed['inputs']] == [(3, 4, 6)] * 2
    assert packed['data_samples'].video_id == 'v'
    assert not [name for name in sys.modules if name.startswith(('mmpretrain.', 'mmdet.'))]
    assert HOOKS.get('SampleSeedHook') is not None
    """
    run(code, tmp_path, ('mmdet', 'mmpretrain'))
