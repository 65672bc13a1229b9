"""How many labelled patients does pretraining save? A linear probe on 2, 4, 8, … patients of each class, and on all.

A checkpoint is NAME=PATH; {seed} in the path is replaced by the seed, so that each seed has its own pretraining run.
For every number of patients OUT has a file as those in docs/results/data, and OUT/label_curve.png shows them all.

    python tools/benchmarks/label_curve.py random uscl=work_dirs/A/pretraining/uscl/seed{seed}/epoch_60.pth \
        --data data/pocus --patients 2 4 8 16 --seeds 3 --size 64 --title "POCUS" --out work_dirs/label_curve
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from instruments.label_curve_figure import label_curve_figure
from instruments.stored_results import StoredResults, start_results
from uscl.core.command_line import as_command, command_line
from uscl.core.options import Arg, parse_options
from uscl.options.evaluation_options import EvaluationOptions
from uscl.reports.figures import save_picture
from uscl_plugin.evaluation.cross_validation import CrossValidation
from uscl_plugin.evaluation.host_setup import set_up_hosts


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        checkpoints: NAME=PATH, or random.
        data: Labelled folder written by a converter.
        patients: Numbers of patients of each class; all of them are added.
        seeds: Seeds 0 to N-1, of folds, of the choice of patients, and of {seed}.
        folds: Number of folds.
        size: Side length of the input in pixels.
        frames: Evaluated frames per video.
        title: What was pretrained on and tested.
        ordered: The order of the classes has a meaning.
        out: Output folder.
    """

    checkpoints: Annotated[list[str], Arg('CHECKPOINT', positional=True)]
    data: Annotated[str, Arg('DIR')]
    patients: Annotated[list[int], Arg('N')]
    seeds: Annotated[int, Arg('N', at_least=1)] = 5
    folds: Annotated[int, Arg('K', at_least=2)] = 5
    size: Annotated[int, Arg('PX', at_least=32)] = 64
    frames: Annotated[int, Arg('N', at_least=1)] = 8
    title: str
    ordered: bool = False
    out: Annotated[str, Arg('DIR')]


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    set_up_hosts()
    out, curve = Path(options.out), {}
    for number in (*sorted(options.patients), None):
        results: StoredResults | None = None
        for seed in range(options.seeds):
            for spec in options.checkpoints:
                name, predictions, classes = probe(options, spec, seed, number)
                if results is None:
                    amount = 'all patients' if number is None else f'{number} patients of each class'
                    title = f'{options.title}, trained on {amount}'
                    results = start_results(title, 'linear', classes, options.ordered, predictions)
                    results.commands.append(command_line('tools/benchmarks/label_curve.py', argv))
                results.add(name, seed, predictions)
                print(f'{results.title}: {name}, seed {seed}', flush=True)
        assert results is not None
        results.save(out / f'labels_{number or "all"}.json')
        curve[number] = results
    save_picture(label_curve_figure(curve, options.title), out / 'label_curve.png')
    return 0


def probe(options: Options, spec: str, seed: int, number: int | None) -> tuple[str, Any, list[str]]:
    """Name, predictions of all test frames, and classes of one checkpoint, seed and number of patients."""
    validation = CrossValidation(
        EvaluationOptions(
            checkpoints=[spec.replace('{seed}', str(seed))],
            data=options.data,
            out=str(Path(options.out) / 'probes' / str(number or 'all')),
            folds=str(options.folds),
            protocol='linear',
            size=options.size,
            patients_per_class=number,
            frames_per_video=options.frames,
            keep_models=False,
        ),
        report=lambda line: None,
        seeds=[seed],
    )
    ((name, by_selection),) = validation.run().items()
    return name, by_selection['fixed'][seed], validation.classes


if __name__ == '__main__':
    sys.exit(main())
