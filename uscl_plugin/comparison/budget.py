"""Equal budgets: the number and length of epochs that give every method the same steps and views."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """The budget of one run, counted in views, that is, images fed to the network.

    Attributes:
        epochs: Number of epochs.
        samples_per_video: Items per epoch from each video.
        batch_size: Items per batch.
        items: Items per epoch.
        views: Views over the whole run.
    """

    epochs: int
    samples_per_video: int
    batch_size: int
    items: int
    views: int


def match_budget(
    epochs: int, pairs_per_batch: int, num_videos: int, used_videos: int, views_per_item: int, samples_per_video: int
) -> Budget:
    """The budget equal to E epochs of one pair of views per video, as in USCL.

    A batch has twice ``pairs_per_batch`` views for every method, so equal views mean equal steps, except for the last
    batch of each epoch, which may be smaller: with few batches per epoch, methods with longer epochs take fewer steps
    (with 15 videos in batches of 32, 100 epochs take 100 steps, but only 50 if ten epochs are merged into one). An
    epoch is as long as the method's own, unless that is longer than the run.

    Args:
        epochs: Number of epochs E of USCL.
        pairs_per_batch: Batch size of USCL.
        num_videos: Number of videos N of USCL.
        used_videos: Number of videos that the method uses: N, or only the labelled ones.
        views_per_item: Views per item of the method. If those of a batch do not divide into items, a batch has fewer,
            but at least two items.
        samples_per_video: The method's own number of items per epoch and video, over N videos.

    Returns:
        The budget. Its views equal those of USCL, 2NE, up to half of one of its own epochs, but it has at least one.

    Raises:
        ValueError: A number is below 1.

    >>> match_budget(100, 32, 252, 252, 2, 10)
    Budget(epochs=10, samples_per_video=10, batch_size=32, items=2520, views=50400)
    >>> match_budget(100, 32, 252, 2, 1, 2)
    Budget(epochs=100, samples_per_video=252, batch_size=64, items=504, views=50400)
    """
    numbers = (epochs, pairs_per_batch, num_videos, used_videos, views_per_item, samples_per_video)
    if min(numbers) < 1:
        raise ValueError(f'epochs, batch size, videos, views and samples should be at least 1, got {numbers}.')
    wanted = 2 * num_videos * epochs
    own_epochs = max(1, round(wanted / (views_per_item * num_videos * samples_per_video)))
    samples = max(1, round(wanted / (views_per_item * used_videos * own_epochs)))
    items = used_videos * samples
    own_epochs = max(1, round(wanted / (views_per_item * items)))  # recomputed, because samples are integers
    return Budget(
        epochs=own_epochs,
        samples_per_video=samples,
        batch_size=max(2 * pairs_per_batch // views_per_item, min(2, pairs_per_batch)),
        items=items,
        views=views_per_item * items * own_epochs,
    )


def affordable_epochs(seconds: float, fixed: float, seconds_per_epoch: float, at_most: int) -> int:
    """Number of epochs per run with which all runs fit into a time.

    Args:
        seconds: Available time.
        fixed: Time that does not depend on the epochs, such as the evaluation.
        seconds_per_epoch: Time per epoch, summed over all runs.
        at_most: Upper limit.

    Returns:
        At least 1, even if that takes longer.

    >>> affordable_epochs(600, 100, 20, 300), affordable_epochs(60, 100, 20, 300), affordable_epochs(1e6, 0, 1, 300)
    (25, 1, 300)
    """
    return max(1, min(at_most, int((seconds - fixed) / seconds_per_epoch)))
