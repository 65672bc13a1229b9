"""From clips to a backbone, in this process."""

import io
import shlex
import shutil
import signal
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from uscl.core.errors import SourceError
from uscl.core.options import parse_options
from uscl.data.annotations import read_annotations
from uscl.options.evaluation_options import EvaluationOptions
from uscl.options.pretraining_options import PretrainingOptions
from uscl_plugin.evaluation.leaks import Leaks, find_leaks
from uscl_plugin.pretraining import pretraining_run
from uscl_plugin.pretraining.pretraining_data import PretrainingData
from uscl_plugin.pretraining.pretraining_run import pretrain
from uscl_plugin.running.host_tools import host_tool, run_host_tool
from uscl_plugin.weights.plain_checkpoints import load_plain_checkpoint

NARROW = [  # not below 16 channels
    *('model.backbone.stem_channels=16', 'model.backbone.base_channels=16', 'model.neck.in_channels=128'),
    *('model.neck.hid_channels=32', 'model.neck.out_channels=32', 'model.head.in_channels=128'),
]


def weights(path):
    return load_plain_checkpoint(path)['state_dict']


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope='module')
def finished(clip_folder, tmp_path_factory):
    """A finished run and what it printed; for reading alone."""
    out = tmp_path_factory.mktemp('finished') / 'run'
    options = PretrainingOptions(clips=str(clip_folder), out=str(out), size=32, epochs=2, workers=0)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setenv('COLUMNS', '400')
        assert pretrain(options, 'uscl pretrain CLIPS --out RUN') == 0
    return out, printed.getvalue()


def test_everything_that_is_promised_is_written(finished):
    out, printed = finished
    assert {'data', 'config.py', 'epoch_2.pth', 'backbone.pth', 'report.html', 'log'} <= {p.name for p in out.iterdir()}
    assert {p.name for p in out.glob('*/vis_data')} == set() and list(out.glob('log/*/vis_data/scalars.json'))
    assert 'losses' in (out / 'report.html').read_text().lower()
    lines = printed.splitlines()
    assert len(lines) <= 40 and len(printed) <= 6000 and '\r' not in printed
    assert [line.split(':')[0] for line in lines[-3:]] == ['reached', 'written', 'next']
    assert sum(line.startswith('epoch ') for line in lines) == 2


def test_the_backbone_is_that_of_the_last_epoch_and_knows_its_input(finished):
    out, _ = finished
    trained = {k: v for k, v in weights(out / 'epoch_2.pth').items() if k.startswith('backbone.')}
    exported = load_plain_checkpoint(out / 'backbone.pth')
    assert_equal(trained, exported['state_dict'])
    assert exported['meta']['uscl']['input'] == {
        'size': 32, 'mean': [127.5] * 3, 'std': [63.75] * 3, 'channels': 'rgb'
    }  # fmt: skip


def test_the_next_command_can_be_run_and_tests_on_unseen_patients(finished):
    out, printed = finished
    words = shlex.split(printed.splitlines()[-1].removeprefix('next: '))
    assert words[:2] == ['uscl', 'evaluate']
    options = parse_options(EvaluationOptions, words[2:])
    data = out / 'data'
    content = read_annotations(data / 'annotations.json')
    assert options.data == str(data) and find_leaks(options, content['metainfo'], data) == Leaks()
    assert {entry['split'] for entry in content['data_list']} == {'train', 'val'}


def test_a_run_from_imagenet_is_compared_with_imagenet(tiny, finished):
    options = tiny(init='imagenet')
    data = PretrainingData(finished[0] / 'data', 'train', 'val', ['a', 'b'], 8, 2, [])
    facts = {'before': {'retrieval': 0.5}, 'after': {'retrieval': 0.5, 'chance': 0.5}, 'warning': ''}
    words = shlex.split(pretraining_run.summary_lines(options, data, facts)[-1])
    out = options.out
    assert words[3:6] == [
        f'random=random:{out}/backbone.pth',
        f'imagenet={out}/imagenet.pth',
        f'uscl={out}/backbone.pth',
    ]


def test_mmpretrains_own_tool_trains_the_same_weights(finished, tmp_path, monkeypatch):
    out, _ = finished
    monkeypatch.setattr('sys.argv', ['train.py'])
    assert host_tool('mmpretrain', 'train').is_file()
    assert run_host_tool('train', [str(out / 'config.py'), '--work-dir', str(tmp_path / 'own')]) == 0
    assert_equal(weights(out / 'epoch_2.pth'), weights(tmp_path / 'own' / 'epoch_2.pth'))


def test_the_config_states_classes_schedule_and_where_the_data_are(finished):
    out, _ = finished
    cfg = Config.fromfile(out / 'config.py')
    dataset = cfg.train_dataloader.dataset
    assert (dataset.data_root, dataset.split) == (str(out / 'data'), 'train')
    assert (cfg.model.head.num_classes, cfg.train_cfg.max_epochs, cfg.param_scheduler[0].end) == (2, 2, 2)
    assert cfg.default_hooks.held_out.split == 'val' and cfg.train_dataloader.batch_size == 8


def stop_in(monkeypatch, epoch, when):
    """Send this process Ctrl-C in an epoch: after its first step, or while its checkpoint is being written."""
    if when == 'after_train_iter':
        original = Runner.call_hook

        def call_hook(self, name, **kwargs):
            if name == 'after_train_iter' and self.epoch + 1 == epoch:
                signal.raise_signal(signal.SIGINT)
            return original(self, name, **kwargs)

        monkeypatch.setattr(Runner, 'call_hook', call_hook)
    else:
        save = CheckpointHook._save_checkpoint

        def save_checkpoint(self, runner):
            if runner.epoch + 1 == epoch:
                signal.raise_signal(signal.SIGINT)
            save(self, runner)

        monkeypatch.setattr(CheckpointHook, '_save_checkpoint', save_checkpoint)


@pytest.mark.usefixtures('sigint')
@pytest.mark.parametrize(('when', 'saved'), [('after_train_iter', 1), ('save', 2)])
def test_ctrl_c_ends_with_one_line_and_the_same_command_goes_on(tiny, monkeypatch, capfd, when, saved):
    monkeypatch.setattr(pretraining_run._Run, '_finish', lambda *_: 0)  # the narrow network cannot be exported
    options = tiny(epochs=3, cfg_options=NARROW)
    with monkeypatch.context() as patch:
        stop_in(patch, 2, when)
        assert pretrain(options, 'uscl pretrain CLIPS --out RUN') == 130
    shown = capfd.readouterr()
    stopped_in = 2 if when == 'after_train_iter' else 3
    assert shown.out.endswith(f'stopped in epoch {stopped_in}; go on with:\nuscl pretrain CLIPS --out RUN\n')
    assert 'Traceback' not in shown.out + shown.err
    out = Path(options.out)
    assert (out / f'epoch_{saved}.pth').is_file() and not (out / f'epoch_{saved + 1}.pth').is_file()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert pretrain(options, 'uscl pretrain CLIPS --out RUN') == 0
    straight = tiny(epochs=3, cfg_options=NARROW, out='straight')
    assert pretrain(straight, '') == 0
    assert_equal(weights(out / 'epoch_3.pth'), weights(Path(straight.out) / 'epoch_3.pth'))


def test_a_folder_with_another_run_is_left_alone(finished, tiny, clip_folder, tmp_path):
    out, _ = finished
    before = (out / 'config.py').read_text()
    settings = dict(size=32, epochs=5, workers=0)
    with pytest.raises(SourceError, match='--epochs 2') as error:
        pretrain(PretrainingOptions(clips=str(clip_folder), out=str(out), **settings), '')
    assert str(out) in str(error.value) and '--resume' in str(error.value)
    assert pretrain(PretrainingOptions(clips=str(clip_folder), out=str(out), **settings, resume=True), '') == 0
    assert (out / 'config.py').read_text() == before and not (out / 'epoch_5.pth').exists()


@pytest.mark.parametrize('resume', [False, True])
def test_a_config_planted_in_the_folder_is_not_executed(tiny, patients, tmp_path, resume):
    options = tiny(clips=patients, val_fraction=0.0, resume=resume)
    trace = tmp_path / 'trace'
    Path(options.out).mkdir()
    Path(options.out, 'config.py').write_text(f"open({str(trace)!r}, 'w')\n")
    with pytest.raises(SourceError, match=r'run/config\.py holds code \(line 1'):
        pretrain(options, '')
    assert not trace.exists()


def test_a_run_on_other_data_is_left_alone(tiny, patients, finished):
    out, _ = finished
    with pytest.raises(SourceError, match='other data') as error:
        pretrain(replace(tiny(clips=patients, val_fraction=0.0), out=str(out)), '')
    assert str(out) in str(error.value)


def test_a_run_goes_on_with_changed_data_if_told_so(tiny, patients, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretraining_run._Run, '_finish', lambda *_: 0)  # the narrow network cannot be exported
    options = tiny(clips=shutil.copytree(patients, tmp_path / 'data'), val_fraction=0.0, cfg_options=NARROW)
    assert pretrain(options, '') == 0
    (Path(options.out) / 'epoch_2.pth').unlink()
    annotation = tmp_path / 'data' / 'annotations.json'
    annotation.write_text(annotation.read_text().replace('"label": "b"', '"label": "a"', 1))
    with pytest.raises(SourceError, match=r'--resume .*--data-changed') as error:
        pretrain(replace(options, resume=True), '')
    assert str(options.out) in str(error.value)
    assert pretrain(replace(options, resume=True, data_changed=True), '') == 0
    assert f'{tmp_path}/data has changed since' in ' '.join(capsys.readouterr().out.split())
    (Path(options.out) / 'epoch_2.pth').unlink()
    (Path(options.out) / 'epoch_1.pth').unlink()  # a run of the new data alone needs no flag
    assert pretrain(options, '') == 0
    with pytest.raises(ValueError, match='--resume'):
        replace(options, data_changed=True)


@pytest.mark.parametrize('method', ['simclr', 'supervised', 'byol', 'ivpp'])
def test_other_methods_are_pretrained_and_monitored_as_well(tiny, method, capsys):
    options = tiny(method=method, epochs=1)
    assert pretrain(options, '') == 0
    assert f'{method}={options.out}/backbone.pth' in capsys.readouterr().out.splitlines()[-1]
