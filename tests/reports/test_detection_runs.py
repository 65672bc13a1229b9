import json
import math
from statistics import mean

import pytest

from uscl.reports.detection_runs import DetectionRun, read_run, summarise_runs
from uscl.reports.detection_table import detection_table


def evaluation(epoch, value, masks=True):
    line = {'coco/bbox_mAP': value / 2, 'coco/bbox_mAP_50': value, 'data_time': 0.1, 'step': epoch}
    return line | ({'coco/segm_mAP': value / 4, 'coco/segm_mAP_50': value / 2} if masks else {})


def training(epoch, losses, start=None):
    first = 10 * epoch if start is None else start
    return [dict(loss=loss, epoch=epoch, iter=first + k, step=first + k) for k, loss in enumerate(losses)]


def write(work_dir, *lines, stamp='20260101_000000'):
    folder = work_dir / stamp / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n')
    return folder


def test_loss_and_measures_by_epoch(tmp_path):
    write(tmp_path, *training(1, [4, 2]), evaluation(1, 0.2), *training(2, [1]), evaluation(2, 0.4))
    run = read_run(tmp_path)
    assert run.loss == {1: 3, 2: 1}
    assert run.measures == {
        'box AP': {1: 0.1, 2: 0.2}, 'box AP50': {1: 0.2, 2: 0.4}, 'mask AP': {1: 0.05, 2: 0.1},
        'mask AP50': {1: 0.1, 2: 0.2},
    }  # fmt: skip
    assert run.last_epoch == 2 and run.num_images is None


def test_a_resumed_run_goes_on_and_one_started_anew_begins_anew(tmp_path):
    for name, epoch, expected in [('resumed', 3, {1: 0.1, 2: 0.2, 3: 0.7}), ('anew', 1, {1: 0.7})]:
        folder = tmp_path / name
        earlier = [evaluation(k, k / 10) for k in (1, 2, 3, 4)]
        write(folder, *training(1, [4]), *earlier)
        write(folder, *training(epoch, [2], start=30), evaluation(epoch, 0.7), stamp='20260102_000000')
        assert read_run(folder).measures['box AP50'] == expected


def test_what_is_no_evaluation_of_training_is_left_out(tmp_path):
    folder = write(tmp_path, evaluation(1, 0.2, masks=False), evaluation(0, 0.9), {'step': 4, 'time': 2})
    with (folder / 'scalars.json').open('a') as file:
        file.write('{"coco/bbox_mAP_50": 0.5, "st')  # cut short by a crash
    run = read_run(tmp_path)
    assert run.measures == {'box AP': {1: 0.1}, 'box AP50': {1: 0.2}} and run.loss == {}


@pytest.mark.parametrize('value', [-1, math.nan, None])
def test_undefined_values_are_left_out(tmp_path, value):
    write(tmp_path, evaluation(1, 0.2) | {'coco/bbox_mAP_50': value}, evaluation(2, 0.4))
    assert read_run(tmp_path).measures['box AP50'] == {2: 0.4}


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match=r'none has no evaluation .*folder does not exist'):
        read_run(tmp_path / 'none')
    write(tmp_path / 'young', *training(1, [3]))
    with pytest.raises(ValueError, match=r'young has no evaluation .*1 logs'):
        read_run(tmp_path / 'young')
    folder = write(tmp_path / 'damaged', evaluation(1, 0.2))
    (folder / 'scalars.json').write_text('{"loss"\n' + json.dumps(evaluation(1, 0.2)))
    with pytest.raises(ValueError, match=r'entry 1 is not JSON'):
        read_run(tmp_path / 'damaged')


def test_number_of_images_is_that_of_the_config(tmp_path):
    folder = write(tmp_path / 'run', evaluation(1, 0.2))
    (tmp_path / 'val.json').write_text(json.dumps({'images': [{}] * 7}))
    (folder / 'config.py').write_text(
        f"val_dataloader = dict(dataset=dict(data_root={str(tmp_path)!r}, ann_file='val.json'))\n"
    )
    assert read_run(tmp_path / 'run').num_images == 7
    (tmp_path / 'val.json').unlink()
    assert read_run(tmp_path / 'run').num_images is None


def run(values, images=25, name='w'):
    return DetectionRun(name, {}, {'box AP50': dict(enumerate(values, start=1))}, images)


def test_golden_summary():
    runs = [run([0.2, 0.6, 0.4]), run([0.3, 0.5, 0.5]), run([0.1, 0.2, 0.6])]
    found = summarise_runs({'a': runs, 'b': [run([0.3])]})
    last, best = found['a']['last']['box AP50'], found['a']['best']['box AP50']
    assert last['values'] == [0.4, 0.5, 0.6] and best['values'] == [0.6, 0.5, 0.6]
    assert best['epochs'] == [2, 2, 3]  # of equals the earlier
    assert (last['min'], last['max'], last['mean']) == (0.4, 0.6, pytest.approx(0.5))
    assert last['sd'] == pytest.approx(0.1) and best['sd'] == pytest.approx(math.sqrt(1 / 300))
    assert best['mean'] == pytest.approx(mean([0.6, 0.5, 0.6]))
    assert found['b']['last']['box AP50']['sd'] is None
    assert found['a']['last_epochs'] == [3, 3, 3] and set(found['a']['last']) == {'box AP50'}


def test_table():
    table = detection_table(summarise_runs({'a|b': [run([0.2, 0.6]), run([0.3, 0.45])], 'c': [run([0.3])]}))
    last, best = table.split('## Best epoch on the test data (optimistic)')
    assert '| Method | Runs | Last epoch | box AP50 |' in last
    assert r'| a\|b | 2 | 2 | 52.5 (45.0 to 60.0), SD 10.6 |' in last
    assert '| c | 1 | 1 | 30.0 |' in last and 'no spread is given: c.' in last
    assert '25 test images' in last and 'unfinished' in last and 'performance' in best
    assert r'| a\|b | 2 | 2 | 52.5 (45.0 to 60.0), SD 10.6 |' in best


@pytest.mark.parametrize(
    'images, text',
    [((None, None), 'unknown'), ((20, None), 'With 20 test'), ((20, 30), '20 to 30 test')],
)
def test_caution_names_the_number_of_images(images, text):
    assert text in detection_table(summarise_runs({'a': [run([0.1], number) for number in images]}))
