import importlib.util
import json

import pytest
import torch
from mmpretrain.structures import DataSample


@pytest.fixture(scope='module')
def step_time(root):
    spec = importlib.util.spec_from_file_location('step_time', root / 'tools' / 'benchmarks' / 'step_time.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_both_steps_compute_one_objective_by_one_and_four_passes(step_time):
    model = step_time.build_model().eval()  # batch norm by running statistics: passes may be divided at will
    views = [torch.randn(3, 3, 32, 32) for _ in range(2)]
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    passes = []
    model.backbone.register_forward_hook(lambda module, args, out: passes.append(len(args[0])))
    one = step_time.one_pass(model, views, samples, torch.channels_last)
    assert passes == [6]
    four = step_time.four_passes(model, views, samples)
    assert passes[1:] == [3, 3, 3, 3]
    assert one.item() == pytest.approx(four.item(), rel=1e-4)


def test_command_line(step_time, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'result.json'
    monkeypatch.setattr('sys.argv', f'step_time.py --size 32 --batch-size 2 --repeats 2 --json {out}'.split())
    step_time.main()
    assert 'times as fast as released (median of 2' in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert [len(values) for values in result['seconds'].values()] == [2, 2, 2]
    released, _, fast = result['seconds'].values()
    ratios = sorted(slow / quick for slow, quick in zip(released, fast, strict=True))
    assert result['ratio_medians']['one pass, channels-last'] == pytest.approx(sum(ratios) / 2)
