"""The text and the order of the pretraining report."""

import math
import time

import numpy as np
from mmengine.config import Config

from uscl.reports.backbone_table import add_backbone_health
from uscl.reports.contrastive_curves import add_contrastive_curves
from uscl.reports.feature_map import MAX_NAMED, embed, feature_maps
from uscl.reports.figures import loss_curves, similarity_histograms, triplet_sheet
from uscl.reports.html_report import HtmlReport
from uscl.reports.training_log import find_scalars, read_scalars
from uscl.stats.cohesion import MAX_PAIRS
from uscl_plugin.datasets.frame_set import FrameSet
from uscl_plugin.measures.representation import Evaluation

from .report_options import ReportOptions
from .spg_examples import mixes_first, spg_rows

MAX_MAP_FRAMES = 4_000  # t-SNE of more takes minutes and shows nothing else
NAMES = {'before': 'Untrained', 'after': 'Pretrained'}


def write_page(
    path: str,
    cfg: Config,
    options: ReportOptions,
    found: FrameSet,
    evaluations: dict[str, Evaluation],
    facts: dict,
    began: float,
) -> None:
    """Write the page.

    Args:
        path: The file.
        cfg: The pretraining config.
        options: What was asked for.
        found: The frames.
        evaluations: Of the network ``'before'`` and ``'after'`` pretraining.
        facts: Numbers and circumstances, see :func:`~uscl_plugin.evaluation.pretraining_report.report_pretraining`.
        began: ``time.perf_counter()`` at the start.
    """
    epoch = '' if facts['epoch'] is None else f', after {facts["epoch"]} epochs'
    page = HtmlReport('What the backbone learned', f'{options.config}{epoch}; before and after pretraining')
    before, after = facts['before'], facts['after']
    _add_cards(page, before, after)
    if facts['warning']:
        page.warning(f'The backbone: {facts["warning"]}')
    _add_measures(page, before, after, facts)
    page.heading('What the backbone uses')
    add_backbone_health(page, {NAMES['before']: before, NAMES['after']: after})
    _add_curves(page, cfg, options, found)
    _add_pairs(page, cfg, options)
    _add_histograms(page, evaluations)
    _add_map(page, found, evaluations, options.seed)
    _add_origin(page, options, facts, began)
    page.write(path)


def _add_cards(page: HtmlReport, before: dict, after: dict) -> None:
    page.cards(
        [
            (
                'Held-out frames whose nearest frame is of their own video',
                percent(before['retrieval']),
                percent(after['retrieval']),
                f'{after["num_queries"]} frames; chance {percent(after["chance"])}',
            ),
            (
                'AUROC, same video against different videos',
                number(before['auroc']),
                number(after['auroc']),
                'chance 0.500; independent of the scale of similarities',
            ),
            (
                'Gap between mean similarities',
                number(before['gap']),
                number(after['gap']),
                'same video minus different videos; depends on scale',
            ),
        ]
    )


def _add_measures(page: HtmlReport, before: dict, after: dict, facts: dict) -> None:
    page.heading('Do the frames of a video stay together?')
    page.paragraph(
        f'Each of {facts["num_frames"]} frames of {facts["num_videos"]} videos has one feature vector, the mean of the '
        f'last feature map ({facts["num_channels"]} numbers), from an image of {facts["input_size"]} × '
        f'{facts["input_size"]} pixels. Vectors are compared by cosine similarity. The last quarter of every video in '
        f'time is held out: each such frame is looked up among the earlier frames of all videos. “Untrained” is an '
        f'untrained network of the same architecture, seed {facts["seed"]}.'
    )
    page.table(
        ['Measure', NAMES['before'], NAMES['after'], 'Chance'],
        [
            [
                'Nearest frame is of the own video (retrieval@1)',
                *(f'{percent(m["retrieval"])} ({m["num_correct"]:.6g} of {m["num_queries"]})' for m in (before, after)),
                percent(after['chance']),
            ],
            ['AUROC, all frames', number(before['auroc']), number(after['auroc']), '0.500'],
            ['AUROC, held-out frames only', *(number(m['held_out_auroc']) for m in (before, after)), '0.500'],
            ['Mean similarity, same video', number(before['intra_mean']), number(after['intra_mean']), ''],
            ['Mean similarity, different videos', number(before['inter_mean']), number(after['inter_mean']), ''],
            ['Gap between the two means', number(before['gap']), number(after['gap']), '0'],
        ],
    )
    page.paragraph(
        'How to read this: an untrained network can already retrieve most frames of the same clip, since frames of a '
        f'clip look alike; here it finds {before["num_correct"]:.6g} of {before["num_queries"]}. So a high share is no '
        'evidence of learning; only the difference between the two columns is. Similarities in an untrained network '
        f'usually lie close together (here {number(before["intra_mean"])} and {number(before["inter_mean"])} on '
        'average), which makes its gap small whatever it separates; the AUROC has no such scale. None of these numbers '
        'says how well the features serve a diagnosis: that takes a downstream task with labels, and patients that '
        'were not seen in pretraining. Two videos of one patient count as different here, however alike they are.'
    )
    page.paragraph(seen_in_training(facts))
    if max(after['num_intra_pairs'], after['num_inter_pairs']) > MAX_PAIRS:
        page.paragraph(f'Of more than {MAX_PAIRS:,} pairs of a kind, so many were drawn at random (seed 0).')


def seen_in_training(facts: dict) -> str:
    """A sentence on whether held-out frames, and their videos, were trained on."""
    total, seen = facts['num_held_out'], facts['num_held_out_seen_in_training']
    if seen is None:
        return (
            'Whether held-out frames were seen in training is unknown: the data of the config are not there to compare.'
        )
    if not total:
        return 'No video has a frame to hold out.'
    start, end = facts['frame_range_of_training']
    training = (
        f'Training used {facts["num_train_videos"]} videos, of each the part from {percent(start)} to {percent(end)} '
        'of its length.'
    )
    if seen:
        return (
            f'{training} {"All" if seen == total else seen} of the {total} held-out frames were seen in training: the '
            'numbers describe training data, not new frames.'
        )
    if facts['num_gallery_seen_in_training']:
        return (
            f'{training} None of the {total} held-out frames was seen in training, but earlier frames of their videos '
            'were: the numbers describe new frames of known videos, not new videos or patients.'
        )
    return f'{training} None of the frames on this page is among its files.'


def _add_curves(page: HtmlReport, cfg: Config, options: ReportOptions, found: FrameSet) -> None:
    page.heading('Training curves')
    logs = find_scalars(options.checkpoint)
    curves = read_scalars(logs)
    if not curves:
        page.paragraph('No log was found beside the checkpoint (<timestamp>/vis_data/scalars.json).')
        return
    batch = cfg.train_dataloader.get('batch_size')
    if batch is not None and found.num_train_videos is not None:
        batch = min(batch, found.num_train_videos)
    caption = 'As logged by MMEngine; the strong line is a running mean where there are many points.'
    if 'loss_contrastive' in curves and batch is not None:
        caption += (
            f' Dashed: the contrastive loss if each of the other {2 * batch - 1} views in a full batch of {batch} '
            'videos on one process were equally likely to be the partner.'
        )
    if len(logs) > 1:
        caption += f' Joined from {len(logs)} logs in the work directory, in order of their start.'
    page.figure(loss_curves(curves, batch), caption, 'Curves of losses and learning rate over iterations')
    add_contrastive_curves(page, curves)


def _add_pairs(page: HtmlReport, cfg: Config, options: ReportOptions) -> None:
    page.heading('Positive pairs: what the network is asked to recognise as alike')
    rows = spg_rows(cfg, options.triplets, options.seed, options.data_root, options.split)
    if not rows:
        page.paragraph('The pipeline of the config does not mix frames into two views, so there is nothing to show.')
        return
    order = (
        'Frames are mixed first and each view is augmented' if mixes_first(cfg) else 'Frames are augmented, then mixed'
    )
    page.paragraph(
        'Three frames of a video are drawn, in time order; the second is the anchor. The first and the third are each '
        'mixed into it: view 1 = ξ1·x1 + (1 − ξ1)·x2 and view 2 = ξ2·x3 + (1 − ξ2)·x2, the ratios drawn from a '
        'Beta distribution, mostly near 0 or 1.'
    )
    caption = (
        f'{order}; crop, flip and jitter are random, as in training. Left: frames as stored. Right: what the network '
        'gets, with the share of each frame.'
    )
    page.figure(triplet_sheet(rows), caption, 'Rows of three frames and the two views made of them')


def _add_histograms(page: HtmlReport, evaluations: dict[str, Evaluation]) -> None:
    page.heading('Similarities within and between videos')
    pairs = {NAMES[key]: (e.cohesion.intra, e.cohesion.inter) for key, e in evaluations.items()}
    if not any(len(values) for pair in pairs.values() for values in pair):
        page.paragraph('There is only one frame.')
        return
    notes = {NAMES[key]: f'AUROC {number(e.cohesion.auroc)}' for key, e in evaluations.items()}
    page.figure(
        similarity_histograms(pairs, notes=notes),
        'Cosine similarities of pairs of frames, both panels on the same axis; dashed lines are means. Pretraining '
        'should push different videos to the left without taking the same video along.',
        'Histograms of similarities before and after pretraining',
    )


def _add_map(page: HtmlReport, found: FrameSet, evaluations: dict[str, Evaluation], seed: int) -> None:
    page.heading('Map of all frames')
    total = len(found)
    shown = np.unique(np.linspace(0, total - 1, min(total, MAX_MAP_FRAMES)).round().astype(int))
    maps = {NAMES[key]: embed(evaluation.features[shown], seed) for key, evaluation in evaluations.items()}
    few = len(found.video_ids) <= MAX_NAMED
    colour = 'video' if few else 'class' if any(found.classes) else 'video, without a list of the many videos'
    caption = f't-SNE of the features, a point a frame, coloured by {colour}. Distances between groups have no meaning.'
    if len(shown) < total:
        caption += f' {len(shown)} of {total} frames, evenly spaced.'
    figure = feature_maps(maps, found.video[shown], found.query[shown], found.video_ids, found.classes)
    page.figure(figure, caption, 'Two-dimensional maps of the frames before and after pretraining')


def _add_origin(page: HtmlReport, options: ReportOptions, facts: dict, began: float) -> None:
    page.heading('How this page was made')
    if options.command:
        page.code(options.command)
    page.table(
        [],
        [
            ['Config', facts['config']],
            ['Checkpoint', facts['checkpoint']],
            ['Data', f'{facts["data"]}, split {facts["split"]}'],
            [
                'Frames',
                f'{facts["num_frames"]} of {facts["num_videos"]} videos: {facts["num_frames"] - facts["num_held_out"]} '
                f'gallery, {facts["num_held_out"]} held out',
            ],
            ['Seed', str(facts['seed'])],
            ['Versions', ', '.join(f'{name} {value}' for name, value in facts['versions'].items())],
            ['Device', facts['device']],
            ['Made', f'{facts["date"]}, in {time.perf_counter() - began:.0f} s'],
        ],
    )


def percent(share: float) -> str:
    """A share in [0, 1] as text; NaN is a dash.

    >>> percent(0.98077), percent(1.0), percent(float('nan'))
    ('98.1 %', '100 %', '–')
    """
    return '–' if math.isnan(share) else f'{100 * share:.1f}'.removesuffix('.0') + ' %'


def number(value: float) -> str:
    """A number with three decimals; NaN is a dash."""
    return '–' if math.isnan(value) else f'{value:.3f}'
