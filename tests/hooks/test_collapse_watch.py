import pytest

from uscl_plugin.hooks.collapse_watch import CollapseWatch


def reports(watch, values, name='spread', start=1):
    return [step for step, value in enumerate(values, start) if watch.update({name: value}, step)]


def test_a_sign_has_to_stay_and_is_reported_once():
    assert reports(CollapseWatch(checks=3), [0.3, 0.01, 0.01, 0.3, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]) == [7]
    again = CollapseWatch(checks=2)
    assert reports(again, [0.01, 0.01, 0.3, 0.01, 0.01]) == [2, 5]  # it had recovered
    assert 'since step 3' in CollapseWatch(checks=1).update({'spread': 0.0}, 3)


@pytest.mark.parametrize(('name', 'bad', 'good'), [('spread', 0.04, 0.06), ('negative_similarity', 0.92, 0.88)])
def test_both_signs(name, bad, good):
    assert reports(CollapseWatch(checks=2), [bad, bad], name) == [2]
    assert reports(CollapseWatch(checks=2), [good] * 9 + [float('nan')] * 9, name) == []
    watch = CollapseWatch(checks=2)
    watch.update({name: bad}, 1)
    watch.update({}, 2)  # not measured is neither
    assert watch.update({name: bad}, 3).count('since step 1') == 1
