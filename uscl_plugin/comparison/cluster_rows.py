"""Run the trainings and folds of a comparison on a cluster, so that its rows only have to be put together."""

from collections.abc import Callable

from uscl.core.cluster import Cluster
from uscl_plugin.evaluation.cluster_folds import LOST, describe_error, run_folds
from uscl_plugin.evaluation.cross_validation import CrossValidation
from uscl_plugin.evaluation.host_setup import set_up_hosts

from .comparison import Comparison, Row
from .methods import Method

_RowTask = tuple[Comparison, Method, int]


def run_rows(comparison: Comparison, cluster: Cluster) -> None:
    """Pretrain all methods with all seeds, then run all folds, then all detectors; failures go to the comparison."""
    rows = [(method, seed) for seed in range(comparison.options.seeds) for method in comparison.methods]
    trained = [(method, seed) for method, seed in rows if method.config is not None]
    _run_step('training', _pretrain, trained, comparison, cluster)
    validations: dict[tuple[str, int], CrossValidation] = {}
    for method, seed in rows:
        if ('training', method.name, seed) not in comparison.failures:
            try:
                spec = comparison.weights(method, Row(method.name, seed))
                validations[method.name, seed] = comparison.validation(spec, [seed])
            except Exception as error:  # as of its tasks
                comparison.failures['evaluation', method.name, seed] = describe_error(error)
    failed = run_folds(list(validations.values()), cluster, lambda line: comparison.report(f'  {line}'))
    for (name, seed), reason in zip(validations, map(failed.get, range(len(validations))), strict=True):
        if reason is not None:
            comparison.failures['evaluation', name, seed] = reason
    if comparison.options.detection_data is not None:
        failures = {(name, seed) for _, name, seed in comparison.failures}
        rows = [(method, seed) for method, seed in rows if (method.name, seed) not in failures]
        _run_step('detector', _detect, rows, comparison, cluster)


def _run_step(
    step: str,
    function: Callable[[_RowTask], str | None],
    rows: list[tuple[Method, int]],
    comparison: Comparison,
    cluster: Cluster,
) -> None:
    for number, result in cluster.run(function, [(comparison, method, seed) for method, seed in rows]):
        method, seed = rows[number]
        done = result == ''
        if not done:
            comparison.failures[step, method.name, seed] = result or LOST
        comparison.report(f'  {step} of {method.name}, seed {seed}: {"done" if done else f"failed: {result or LOST}"}')


def _pretrain(task: _RowTask) -> str:
    """What failed, or nothing."""
    comparison, method, seed = task
    return _attempt(lambda: comparison.weights(method, Row(method.name, seed)))


def _detect(task: _RowTask) -> str:
    """What failed, or nothing."""
    comparison, method, seed = task
    row = Row(method.name, seed)
    return _attempt(lambda: comparison.detect(method.name, comparison.weights(method, row), row))


def _attempt(run: Callable[[], object]) -> str:
    set_up_hosts('compare')
    try:
        run()
    except Exception as error:  # a faulty user config must not stop the other rows
        return describe_error(error)
    return ''
