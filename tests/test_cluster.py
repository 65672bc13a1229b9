"""Tasks on Dask workers: as many results as tasks and the same as here, whoever is killed in between."""

import json
import logging
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('distributed')
from dask import config
from distributed import LocalCluster

from uscl.core import cluster as cluster_module
from uscl.core import cluster_job
from uscl.core.cluster import Cluster
from uscl.core.cluster_job import ClusterJob, computing_versions
from uscl.core.slurm_file import read_slurm_file


@pytest.fixture(scope='module')
def address():
    """The scheduler of two workers in processes of their own."""
    with (
        config.set({'distributed.scheduler.allowed-failures': 1}),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            memory_limit=0,
            host='127.0.0.1',
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster.scheduler_address.removeprefix('tcp://')


def die_once(flag):
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def work(task):
    number, flag = task
    if number == 5:
        die_once(flag)
    if number == 'die':
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 'job' and not flag.exists():
        flag.touch()
        os.killpg(os.getpgid(0), signal.SIGKILL)
    if number == 'raise':
        raise ValueError('on purpose')
    return number if number == 'job' else number * number, Path.cwd()


def test_tasks_of_a_killed_worker_run_again_and_count_once(address, tmp_path):
    tasks = [(number, tmp_path / 'flag') for number in range(100)]
    with Cluster(address, tmp_path) as cluster:
        found = list(cluster.run(work, tasks, batch=8))
    assert (tmp_path / 'flag').exists()
    assert sorted(found) == [(number, (number * number, Path.cwd())) for number in range(100)]
    assert {path.name for path in tmp_path.iterdir()} == {'flag'}


def test_only_the_killer_is_lost_and_errors_come_back(address, tmp_path):
    with Cluster(address, tmp_path) as cluster:
        found = dict(cluster.run(work, [(number, None) for number in (0, 'die', 2)]))
        assert found == {0: (0, Path.cwd()), 1: None, 2: (4, Path.cwd())}
        with pytest.raises(ValueError, match='on purpose'):
            list(cluster.run(work, [(1, None), ('raise', None)]))


def convert_dying(task):
    from uscl.convert.videos.video_conversion import _convert

    source, folder = task[:2]
    if source.path.name == 'clip2.avi':
        die_once(folder.parent.parent / 'died')
    return _convert(task)


def stored(out):
    """Annotation, index and bytes of a data folder, whatever its shards are called."""
    index = (out / 'store' / 'index.json').read_text()
    shards = list(json.loads(index)['shards'])
    for number, name in enumerate(shards):
        index = index.replace(name, str(number))
    return (out / 'annotations.json').read_text(), index, [(out / 'store' / name).read_bytes() for name in shards]


def test_a_conversion_is_the_same_to_the_byte(address, tmp_path, monkeypatch, capsys):
    from media_clips import write_clip

    from uscl.clips.discovery import find_sources
    from uscl.convert.videos import video_conversion
    from uscl.convert.videos.store_settings import StoreSettings
    from uscl.core.errors import SourceError

    for name, frames in (('a/long.mp4', 90), ('a/x.gif', 24), ('b/clip2.avi', 24), ('b/clip10.mp4', 24)):
        write_clip(tmp_path / 'src' / name, frames, 25)
    (tmp_path / 'src' / 'b' / 'broken.mp4').write_bytes(b'no clip')

    def convert(out, **chosen):
        found = find_sources(tmp_path / 'src')
        return video_conversion.convert_sources(found, out, StoreSettings(size=32), **chosen)

    assert convert(tmp_path / 'here', workers=2) == 0
    expected, shown = stored(tmp_path / 'here'), capsys.readouterr().out
    monkeypatch.setattr(video_conversion, '_convert', convert_dying)
    monkeypatch.chdir(tmp_path)
    assert convert(Path('there'), cluster=address) == 0
    assert (tmp_path / 'died').exists()
    assert stored(tmp_path / 'there') == expected
    assert capsys.readouterr().out == shown.replace(str(tmp_path / 'here'), 'there')
    assert not list(tmp_path.rglob('*.tmp')) and not list(tmp_path.rglob('.cluster*'))
    for other in ({'workers': 1}, {'dry_run': True}):
        with pytest.raises(SourceError, match='--cluster'):
            convert(tmp_path / 'there', cluster=address, **other)


def run_fold_dying(task):
    from uscl_plugin.evaluation import cluster_folds

    if task[3] == 1:
        die_once(task[0].out.parent / 'died')
    return cluster_folds._run_fold(task)


def results(out):
    """All that an evaluation or comparison has found, without times and the command."""
    name = 'metrics.json' if (out / 'metrics.json').exists() else 'results.json'
    text = re.sub(r'"\w*seconds": [\d.]+', '', (out / name).read_text())
    text = re.sub(r'"command": ".*"', '', text).replace(str(out), 'OUT')
    table = (out / 'table.md').read_text().split('\n\n', 1)[1].replace(str(out), 'OUT')
    table = re.sub(r'\| [\d.]+ (?=\|$|\| (finished|failed))', '| time ', table, flags=re.MULTILINE)
    arrays = {
        path.relative_to(out): {key: value.tolist() for key, value in np.load(path).items()}
        for path in sorted(out.rglob('cells/**/*.npz'))
    }
    return text, table, arrays


@pytest.mark.slow  # each worker imports the hosts, and so does the one that takes the place of the killed one
@pytest.mark.parametrize('protocol', ['linear', 'finetune3'])
@pytest.mark.usefixtures('undrawn')
def test_an_evaluation_is_the_same_to_the_last_digit(address, patients, tmp_path, monkeypatch, protocol):
    from uscl.options.evaluation_options import EvaluationOptions
    from uscl_plugin.evaluation import cluster_folds
    from uscl_plugin.evaluation.evaluation_run import evaluate

    shared = dict(data=str(patients), folds='3', size=32, resamples=50, val_fraction=0.4, protocol=protocol)
    if protocol != 'linear':  # with a loading process, which a worker has to be allowed
        shared |= dict(epochs=1, cfg_options=['train_dataloader.num_workers=1', 'val_dataloader.num_workers=0'])

    def run(out, **chosen):
        lines = []
        evaluate(EvaluationOptions(checkpoints=['random'], out=str(out), **shared, **chosen), report=lines.append)
        return lines

    run(tmp_path / 'here')
    monkeypatch.setattr(cluster_folds, '_run_fold', run_fold_dying)
    lines = run(tmp_path / 'there', cluster=address)
    assert (tmp_path / 'died').exists()
    assert len(lines) == 6 and all('already finished' in line for line in lines[3:])
    assert results(tmp_path / 'there') == results(tmp_path / 'here')
    assert not [*tmp_path.rglob('.fold*'), *tmp_path.rglob('.cluster*')]
    models = sorted(path.relative_to(tmp_path / 'here') for path in (tmp_path / 'here').rglob('model.pth'))
    assert len(models) == 3 and all((tmp_path / 'there' / path).is_file() for path in models)
    assert len(run(tmp_path / 'there', cluster=address)) == 3  # nothing is run again


def pretrain_dying(task):
    """The worker is killed in the middle of a training: when its process has locked the folder."""
    from uscl.core.folder_lock import LOCK
    from uscl_plugin.comparison import cluster_rows

    comparison, method, seed = task
    lock = comparison.out / 'pretraining' / method.name / f'seed{seed}' / LOCK

    def die():
        while not lock.exists():
            time.sleep(0.01)
        die_once(comparison.out.parent / 'died')

    if method.name == 'uscl':
        threading.Thread(target=die, daemon=True).start()
    return cluster_rows._pretrain(task)


@pytest.mark.slow  # trainings in processes of their own
@pytest.mark.usefixtures('undrawn')
def test_a_comparison_is_the_same_to_the_last_digit(address, root, clusters, patients, tmp_path, monkeypatch):
    from uscl.options.comparison_options import ComparisonOptions
    from uscl_plugin.comparison import cluster_rows
    from uscl_plugin.comparison.comparison_run import compare

    config_file = tmp_path / 'by_iterations.py'
    base = root / 'configs' / 'uscl' / 'uscl_resnet18_demo.py'
    config_file.write_text(f"_base_ = '{base}'\ntrain_cfg = dict(_delete_=True, by_epoch=False, max_iters=10)\n")
    shared = dict(pretrain_data=str(clusters), eval_data=str(patients), epochs=1, size=32, seeds=1, folds='3')
    shared |= dict(methods=['random', f'broken={config_file}', 'uscl'], resamples=50, workers=0)
    monkeypatch.setattr(cluster_rows, '_pretrain', pretrain_dying)
    for name, chosen in (('here', {}), ('there', {'cluster': address})):
        compare(ComparisonOptions(out=str(tmp_path / name), **shared, **chosen), report=lambda line: None)
    assert (tmp_path / 'died').exists()
    assert results(tmp_path / 'there') == results(tmp_path / 'here')
    assert [row['status'][:6] for row in json.loads((tmp_path / 'there' / 'results.json').read_text())['rows']] == [
        'finish',
        'failed',
        'finish',
    ]


def worker_of(monkeypatch, threads=1):
    found = SimpleNamespace(address='tcp://10.0.0.7:8000', state=SimpleNamespace(nthreads=threads))
    monkeypatch.setattr('distributed.get_worker', lambda: found)
    monkeypatch.setattr(cluster_job, '_prepared_for', '')
    monkeypatch.setattr(cluster_job, '_PATIENCE', 0.0)


def job(tmp_path, **other):
    (tmp_path / 'probe').touch()
    plain = dict(folder=str(Path.cwd()), probe=str(tmp_path / 'probe'), inputs=[str(tmp_path)], threads=1)
    return ClusterJob(function=work, **plain | {'versions': computing_versions()} | other)


@pytest.mark.parametrize(
    ('threads', 'other', 'kind', 'message'),
    [
        (2, {}, ValueError, '10.0.0.7.*2 tasks at once.*--nthreads 1'),
        (1, {'probe': '/gone/probe'}, OSError, '/gone is not visible.*10.0.0.7'),
        (1, {'inputs': ['/gone/src']}, OSError, '/gone/src is not visible'),
        (1, {'folder': '/gone/home'}, OSError, '/gone/home is not visible'),
        (1, {'versions': {**computing_versions(), 'av': '1.0'}}, ValueError, 'av .*1.0'),
        (1, {'versions': {**computing_versions(), 'decoder': '1.0'}}, ValueError, 'decoder is missing.*1.0'),
    ],
)
def test_a_worker_that_would_differ_is_named(monkeypatch, tmp_path, threads, other, kind, message):
    worker_of(monkeypatch, threads)
    with pytest.raises(kind, match=message):
        job(tmp_path, **other)([(0, (3, None))])
    worker_of(monkeypatch)
    assert job(tmp_path)([(0, (3, None))]) == [(0, (9, Path.cwd()))]


SLURM = "jobs: 2\nmemory: 1GB\nwalltime: '00:10:00'\n"


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('jobs: [', 'is not YAML'),
        ('2', 'KEY: VALUE'),
        ('!!python/object/apply:os.system [exit]', 'is not YAML'),
        (SLURM + 'scheduler_cls: x', 'scheduler_cls is unknown'),
        (SLURM.replace("'00:10:00'", '10:00:00'), 'walltime should be a text'),  # YAML's 36000
        (SLURM.replace('2', '0'), 'jobs should be a number'),
        (SLURM.replace('2', 'true'), 'jobs should be a number'),
        (SLURM + 'job_extra_directives: [1]', 'job_extra_directives should be a list of texts'),
        ('jobs: 2\nmemory: 1GB', 'has no walltime'),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, text, message):
    path = tmp_path / 'slurm.yaml'
    path.write_text(text)
    with pytest.raises(ValueError, match=rf'slurm\.yaml.*{message}'):
        read_slurm_file(path, 4)
    path.write_text(SLURM + 'processes: 3\n')
    plain = {'memory': '1GB', 'walltime': '00:10:00', 'processes': 3, 'cores': 3, 'job_cpu': 12}
    assert read_slurm_file(path, 4) == (2, plain)


SBATCH = """#!/bin/sh
cp "$1" {folder}/job.sh
setsid sh "$1" > {folder}/log 2>&1 &
echo $! > {folder}/pid
echo "Submitted batch job $!"
"""


@pytest.mark.slow  # Dask waits 15 s for a job that is gone
@pytest.mark.skipif(sys.platform != 'linux', reason='plays Slurm with a shell')
def test_workers_of_slurm(tmp_path, monkeypatch):
    pytest.importorskip('dask_jobqueue')
    for name, text in (('sbatch', SBATCH.format(folder=tmp_path)), ('scancel', '#!/bin/sh\nkill -- -$1\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(sys.path))
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    path = tmp_path / 'slurm.yaml'
    path.write_text(SLURM.replace('2', '1', 1) + 'interface: lo\njob_extra_directives: [--gres=gpu:1]\n')
    (tmp_path / 'out').mkdir()
    with Cluster(str(path), tmp_path / 'out', threads=3) as cluster:
        tasks = [(2, None), ('job', tmp_path / 'flag')]
        assert sorted(cluster.run(work, tasks)) == [(0, (4, Path.cwd())), (1, ('job', Path.cwd()))]
    assert (tmp_path / 'flag').exists()
    script = (tmp_path / 'job.sh').read_text()
    assert '--cpus-per-task=3' in script and '--gres=gpu:1' in script and '--nthreads 1 ' in script


@pytest.mark.parametrize(
    ('where', 'kind', 'message'),
    [
        ('127.0.0.1:PORT', OSError, r'127\.0\.0\.1:\d+.*dask scheduler'),
        ('local:0', ValueError, 'local:0'),
        ('nowhere', ValueError, 'nowhere'),
        ('gone.yaml', OSError, r'gone\.yaml does not exist.*docs/cluster'),
    ],
)
def test_no_cluster_is_one_line(tmp_path, monkeypatch, free_port, where, kind, message):
    monkeypatch.setattr(cluster_module, '_TIMEOUT', 0.5)
    with pytest.raises(kind, match=message), Cluster(where.replace('PORT', str(free_port)), tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_what_dask_needs_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'distributed', None)
    with pytest.raises(ValueError, match=r'uscl_plugin\[cluster\]'), Cluster('local:1', tmp_path):
        pass
