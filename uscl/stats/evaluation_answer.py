"""The answer of an evaluation in a few sentences: is a backbone better than an untrained network?"""

from collections.abc import Collection, Mapping

from .summary_tables import METRIC_NAMES, percent

HEADLINE = 'balanced_accuracy'  # by video, with the honest selection
FEW = 50  # patients below which percentile intervals are noticeably too narrow
_NAME = f'{METRIC_NAMES[HEADLINE].lower()} by video'


def answer(summary: Mapping, untrained: Collection[str] = ()) -> list[str]:
    """Compare every method with the best untrained one, and say what would help if they are not told apart.

    Args:
        summary: ``levels``, ``honest_selection`` and ``num_patients`` of :func:`.evaluation_summary.summarise`.
        untrained: Methods that are untrained networks; without any, the first method is compared with.

    Returns:
        One sentence for each compared method, and perhaps one of advice.
    """
    selection = summary['honest_selection']
    results = summary['levels']['video']['results']
    found = {name: of[selection]['metrics'][HEADLINE] for name, of in results.items() if selection in of}
    baselines = [name for name in found if name in untrained] or list(found)[:1]
    reference = max(baselines, key=lambda name: found[name]['mean'])
    others = [name for name in found if name not in baselines]
    if not others:
        reached = '; '.join(f'{name} reaches {percent(found[name]["mean"])} % {_NAME}' for name in baselines)
        needed = 'a checkpoint' if reference in untrained else 'random, an untrained network,'
        return [f'{reached}. Evaluate {needed} with it: only a difference shows what pretraining adds.']
    title = f'{reference} (untrained)' if reference in untrained else reference
    number = summary['num_patients']
    differences = {name: _difference(summary, name, reference) for name in others}
    return [_sentence(name, title, of, number) for name, of in differences.items()] + _advice(differences, number)


def _sentence(name: str, reference: str, difference: Mapping, num_patients: int) -> str:
    points = f'the difference in {_NAME} is {percent(difference["mean"], sign=True)} points'
    if difference['low'] is None:
        return f'{name} against {reference}: {points}.'
    ends = ' to '.join(percent(difference[end], sign=True) for end in ('low', 'high'))
    points += f' (95 % interval over {num_patients} patients: {ends}).'
    if _includes_zero(difference):
        return f'{name} and {reference} are not told apart: {points}'
    return f'{name} is {"better" if difference["mean"] > 0 else "worse"} than {reference}: {points}'


def _advice(differences: Mapping[str, Mapping], num_patients: int) -> list[str]:
    if num_patients < 2:
        return ['There is no interval, because all videos are from one patient: add clips of more patients.']
    unclear = [difference for difference in differences.values() if _includes_zero(difference)]
    reach = max(((of['high'] - of['low']) / 2 for of in unclear), default=0)
    advice = []
    if reach > 0:
        advice.append(
            f'With {num_patients} patients, only differences of about {percent(reach, 0)} points or more are told '
            f'apart; four times as many patients would halve that.'
        )
    if len(unclear) < len(differences) and num_patients < FEW:
        advice.append(
            f'Intervals over fewer than {FEW} patients tend to be too narrow: confirm the difference on more.'
        )
    return advice


def _difference(summary: Mapping, method: str, reference: str) -> Mapping[str, float | None]:
    """Mean, low and high of a method minus the reference."""
    pair, found = next(
        ((pair['first'], pair['second']), pair['metrics'][HEADLINE])
        for pair in summary['levels']['video']['differences']
        if pair['selection'] == summary['honest_selection'] and {pair['first'], pair['second']} == {method, reference}
    )
    if pair == (reference, method):
        return found
    return {ours: None if found[theirs] is None else -found[theirs]
            for ours, theirs in (('mean', 'mean'), ('low', 'high'), ('high', 'low'))}  # fmt: skip


def _includes_zero(difference: Mapping) -> bool:
    return difference['low'] <= 0 <= difference['high']
