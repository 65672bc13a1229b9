"""Contents of the pretraining report's page; its text is in ``uscl/reports/templates/pretraining.html``."""

import time
from typing import Any

from mmengine.config import Config

from uscl.options.report_options import ReportOptions
from uscl.reports.backbone_table import backbone_table
from uscl.reports.contrastive_curves import contrastive_curves, largest_conflict
from uscl.reports.feature_map import MAX_NAMED, embed, feature_maps
from uscl.reports.figures import loss_curves, similarity_histograms, triplet_sheet
from uscl.reports.held_out_curves import held_out_curves
from uscl.reports.html_page import number, percent, write_page
from uscl.reports.training_log import find_scalars, read_held_out, read_scalars
from uscl.stats.cohesion import MAX_PAIRS
from uscl_plugin.datasets.frame_set import FrameSet
from uscl_plugin.measures.backbone_health import spread_evenly
from uscl_plugin.measures.representation import Evaluation

from .spg_examples import mixes_first, spg_rows

MAX_MAP_FRAMES = 4_000  # t-SNE of more takes minutes and shows nothing new
NAMES = {'before': 'Untrained', 'after': 'Pretrained'}


def write_pretraining_page(
    cfg: Config,
    options: ReportOptions,
    found: FrameSet,
    evaluations: dict[str, Evaluation],
    facts: dict,
    began: float,
) -> None:
    """Write the page.

    Args:
        cfg: The pretraining config.
        options: Options of the report, with the output file.
        found: The frames.
        evaluations: Evaluations of the network ``'before'`` and ``'after'`` pretraining.
        facts: Numbers and context, see :func:`~uscl_plugin.evaluation.pretraining_report.report_pretraining`.
        began: ``time.perf_counter()`` at the start.
    """
    epoch = '' if facts['epoch'] is None else f', after {facts["epoch"]} epochs'
    before, after = facts['before'], facts['after']
    triplets = spg_rows(cfg, options.triplets, options.seed, options.data_root, options.split)
    pairs = {NAMES[key]: (e.cohesion.intra, e.cohesion.inter) for key, e in evaluations.items()}
    has_pairs = any(len(values) for pair in pairs.values() for values in pair)
    notes = {NAMES[key]: f'AUROC {number(e.cohesion.auroc)}' for key, e in evaluations.items()}
    write_page(
        options.out,
        'pretraining.html',
        title='What the backbone learned',
        subtitle=f'{options.config}{epoch}; before and after pretraining',
        names=NAMES,
        facts=facts,
        before=before,
        after=after,
        measures=_measures(before, after),
        max_pairs=MAX_PAIRS if max(after['num_intra_pairs'], after['num_inter_pairs']) > MAX_PAIRS else None,
        health=backbone_table({NAMES['before']: before, NAMES['after']: after}),
        curves=_curves(cfg, options, facts['num_train_videos']),
        triplets=triplet_sheet(triplets) if triplets else None,
        mixes_first=bool(triplets) and mixes_first(cfg),
        histograms=similarity_histograms(pairs, notes=notes) if has_pairs else None,
        map=_map(found, evaluations, options.seed),
        command=facts['command'],
        origin=_origin(facts, time.perf_counter() - began),
    )


def _measures(before: dict, after: dict) -> list[list[str]]:
    both = (before, after)
    shares = [f'{percent(m["retrieval"])} ({m["num_correct"]:.6g} of {m["num_queries"]})' for m in both]
    return [
        ['Nearest frame is from the same video (retrieval@1)', *shares, percent(after['chance'])],
        ['AUROC, all frames', *(number(m['auroc']) for m in both), '0.500'],
        ['AUROC, held-out frames only', *(number(m['held_out_auroc']) for m in both), '0.500'],
        ['Mean similarity, same video', *(number(m['intra_mean']) for m in both), ''],
        ['Mean similarity, different videos', *(number(m['inter_mean']) for m in both), ''],
        ['Gap between the two means', *(number(m['gap']) for m in both), '0'],
    ]


def _curves(cfg: Config, options: ReportOptions, num_videos: int | None) -> dict[str, Any] | None:
    logs = find_scalars(options.checkpoint)
    curves = read_scalars(logs)
    if not curves:
        return None
    batch = cfg.train_dataloader.get('batch_size')
    if batch is not None and num_videos is not None:
        batch = min(batch, num_videos)
    return {
        'losses': loss_curves(curves, batch),
        'batch': batch if 'loss_contrastive' in curves else None,
        'pairs': contrastive_curves(curves),
        'conflict': largest_conflict(curves),
        'held_out': held_out_curves(read_held_out(logs), curves),
        'num_logs': len(logs),
    }


def _map(found: FrameSet, evaluations: dict[str, Evaluation], seed: int) -> dict[str, Any]:
    total = len(found)
    shown = spread_evenly(total, MAX_MAP_FRAMES)
    maps = {NAMES[key]: embed(evaluation.features[shown], seed) for key, evaluation in evaluations.items()}
    few = len(found.video_ids) <= MAX_NAMED
    return {
        'drawing': feature_maps(maps, found.video[shown], found.query[shown], found.video_ids, found.classes),
        'colour': 'video' if few else 'class' if any(found.classes) else 'video (too many to list)',
        'shown': len(shown),
    }


def _origin(facts: dict, seconds: float) -> list[list[str]]:
    num_frames, num_held_out = facts['num_frames'], facts['num_held_out']
    kinds = f'{num_frames - num_held_out} gallery, {num_held_out} held out'
    return [
        ['Config', facts['config']],
        ['Checkpoint', facts['checkpoint']],
        ['Data', f'{facts["data"]}, split {facts["split"]}'],
        ['Frames', f'{num_frames} of {facts["num_videos"]} videos: {kinds}'],
        ['Seed', str(facts['seed'])],
        ['Versions', ', '.join(f'{name} {value}' for name, value in facts['versions'].items())],
        ['Device', facts['device']],
        ['Made', f'{facts["date"]}, in {seconds:.0f} s'],
    ]
