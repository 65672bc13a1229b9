"""Which settings help? Successive halving over a list written before, judged by development patients alone.

RECIPES is a JSON file, name → METHOD:KEY=VALUE,… of tools/compare.py. A TASK is PRETRAINING:TEST, two folders
written by a converter; those to be tested have a split `val`, the development patients (`--val-fraction 0.33`), and
nothing else of them is looked at. Every recipe is pretrained on every task for a few steps; the best go on with more.
A recipe's score is the mean over tasks of the macro AUROC by video of a linear probe. Running it again resumes where
it stopped.

    python tools/benchmarks/recipe_search.py --recipes tools/benchmarks/recipes.json --rounds 25:100 8:200 3:480 \
        --tasks data/covid_blues:data/pocus data/pocus:data/blues_blines --out work_dirs/search
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from uscl.core.atomic_files import write_text
from uscl.core.command_line import as_command
from uscl.core.options import Arg, parse_options
from uscl.core.tables import markdown
from uscl.data.annotations import read_annotations
from uscl.data.folder_digest import data_digest
from uscl.options.common_settings import CommonSettings
from uscl.options.evaluation_options import EvaluationOptions
from uscl.stats.classification import classification_metrics
from uscl_plugin.comparison.backbone_choice import start_from
from uscl_plugin.comparison.methods import parse_method
from uscl_plugin.comparison.pretraining_config import pretraining_config
from uscl_plugin.comparison.training_run import run_training
from uscl_plugin.evaluation.cross_validation import CrossValidation
from uscl_plugin.evaluation.host_setup import set_up_hosts

BATCH = 32
DEVELOPMENT = 'val'


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the tool.

    Attributes:
        recipes: JSON file of the recipes.
        tasks: See above.
        rounds: RECIPES:STEPS of each round, the first with as many as are listed.
        backbone: Network of all recipes.
        size: Side length of the input in pixels.
        folds: Folds among the development patients.
        frames: Evaluated frames per video.
        seed: Seed of pretraining and folds.
        out: Output folder for search.json, search.md and the runs.
    """

    recipes: Annotated[str, Arg('FILE')]
    tasks: Annotated[list[str], Arg('TASK')]
    rounds: Annotated[list[str], Arg('N:STEPS')]
    backbone: Annotated[str, Arg('NAME')] = 'resnet18'
    size: Annotated[int, Arg('PX', at_least=32)] = 64
    folds: Annotated[int, Arg('K', at_least=2)] = 3
    frames: Annotated[int, Arg('N', at_least=1)] = 8
    seed: Annotated[int, Arg(at_least=0)] = 0
    out: Annotated[str, Arg('DIR')]


@as_command()
def main(argv: list[str] | None = None) -> int:
    """Run the tool; returns the exit status."""
    options = parse_options(Options, argv, __doc__)
    set_up_hosts()
    recipes = json.loads(Path(options.recipes).read_text(encoding='utf-8'))
    rounds = [tuple(map(int, each.split(':'))) for each in options.rounds]
    if rounds[0][0] != len(recipes) or sorted(rounds, reverse=True) != rounds:
        raise ValueError(f'--rounds should start with all {len(recipes)} recipes and get fewer, got {options.rounds}.')
    names, found = list(recipes), []
    for number, steps in rounds:
        names = names[:number]
        scores: dict[str, list[float]] = {}
        for name in names:
            scores[name] = [score(options, name, recipes[name], task, steps) for task in options.tasks]
            print(f'{steps} steps, {name}: {", ".join(f"{value:.3f}" for value in scores[name])}', flush=True)
        names = sorted(names, key=lambda name: -np.mean(scores[name]))
        found.append({'steps': steps, 'scores': {name: scores[name] for name in names}})
        write_text(
            Path(options.out) / 'search.json', json.dumps({'recipes': recipes, 'rounds': found}, indent=1) + '\n'
        )
        write_text(Path(options.out) / 'search.md', table(options.tasks, found))
    return 0


def score(options: Options, name: str, recipe: str, task: str, steps: int) -> float:
    """Macro AUROC by video of a linear probe on development patients, after so many steps of pretraining."""
    pretraining, tested = task.split(':')
    folder = Path(options.out) / f'{Path(pretraining).name}-{Path(tested).name}' / f'{steps}' / name
    record = folder / 'score.json'
    if record.is_file():
        return float(json.loads(record.read_text(encoding='utf-8'))['macro_auroc'])
    videos = len(read_annotations(Path(pretraining) / 'annotations.json')['data_list'])
    common = CommonSettings(
        pretrain_data=pretraining, epochs=max(1, round(steps / -(-videos // BATCH))), batch_size=BATCH,
        size=options.size, workers=0, backbone=options.backbone,
    )  # fmt: skip
    method = parse_method(f'{name}={recipe}')
    cfg, _ = pretraining_config(method, common, options.seed)
    if method.init is not None:
        folder.mkdir(parents=True, exist_ok=True)
        start_from(cfg, method.init, folder / 'init.pth')
    cfg.default_hooks.checkpoint.update(interval=10_000, max_keep_ckpts=1)
    done = run_training(cfg, folder / 'run', {'data': data_digest(pretraining)})
    settings: dict[str, Any] = dict(data=tested, out=str(folder / 'probe'), protocol='linear', keep_models=False)
    settings |= dict(folds=str(options.folds), size=options.size, frames_per_video=options.frames)
    judged = EvaluationOptions(checkpoints=[f'{name}={done.checkpoint}'], only_split=DEVELOPMENT, **settings)
    validation = CrossValidation(judged, report=lambda line: None, seeds=[options.seed])
    (predictions,) = validation.run()[name]['fixed'].values()
    measured = classification_metrics(predictions.by_video(), len(validation.classes))
    facts = {key: measured[key] for key in ('macro_auroc', 'balanced_accuracy', 'accuracy')}
    write_text(record, json.dumps(facts | {'steps': done.steps, 'seconds': round(done.seconds)}) + '\n')
    return float(facts['macro_auroc'])  # type: ignore[arg-type]


def table(tasks: list[str], rounds: list[dict[str, Any]]) -> str:
    """The rounds as Markdown, the best recipe first."""
    parts = []
    for each in rounds:
        rows = [
            [name, *(f'{value:.3f}' for value in values), f'{np.mean(values):.3f}']
            for name, values in each['scores'].items()
        ]
        parts.append(f'{each["steps"]} steps\n\n{markdown(["Recipe", *tasks, "Mean"], rows)}\n')
    return '\n'.join(parts)


if __name__ == '__main__':
    sys.exit(main())
