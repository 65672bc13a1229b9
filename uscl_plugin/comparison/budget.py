"""Equal budgets: how many epochs of which length give every method the same steps and the same views."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What one run may cost, counted in views, that is in images that the network is fed.

    Attributes:
        epochs: Of the run.
        samples_per_video: Items of an epoch from each of its videos.
        batch_size: Items of a batch.
        items: Of an epoch.
        views: Of the whole run.
    """

    epochs: int
    samples_per_video: int
    batch_size: int
    items: int
    views: int


def match_budget(
    epochs: int, pairs_per_batch: int, num_videos: int, used_videos: int, views_per_item: int, samples_per_video: int
) -> Budget:
    """The budget that equals E epochs of one pair of views a video, as of USCL.

    A batch has twice ``pairs_per_batch`` views, whatever the method, so equal views are equal steps but for the last
    batch of each epoch, which may be smaller: with few batches an epoch, methods of longer epochs take fewer steps (of
    15 videos in batches of 32, 100 epochs are 100 steps, or 50 where ten epochs are one). An epoch is as long as the
    method's own, unless that is longer than the run.

    Args:
        epochs: E of USCL.
        pairs_per_batch: Its batch size.
        num_videos: Its videos, N.
        used_videos: Those that the method uses: N, or the labelled ones.
        views_per_item: 1 or 2, of the method.
        samples_per_video: Its own items an epoch from each of N videos.

    Returns:
        The budget. Its views are those of USCL, 2NE, up to half an epoch of its own.

    Raises:
        ValueError: A number is below 1, or the batch does not divide.

    >>> match_budget(100, 32, 252, 252, 2, 10)
    Budget(epochs=10, samples_per_video=10, batch_size=32, items=2520, views=50400)
    >>> match_budget(100, 32, 252, 2, 1, 2)
    Budget(epochs=100, samples_per_video=252, batch_size=64, items=504, views=50400)
    """
    numbers = (epochs, pairs_per_batch, num_videos, used_videos, views_per_item, samples_per_video)
    if min(numbers) < 1:
        raise ValueError(f'epochs, batch size, videos, views and samples should be at least 1, got {numbers}.')
    if 2 * pairs_per_batch % views_per_item:
        raise ValueError(f'{2 * pairs_per_batch} views a batch do not divide into items of {views_per_item}.')
    wanted = 2 * num_videos * epochs
    own_epochs = max(1, round(wanted / (views_per_item * num_videos * samples_per_video)))
    samples = max(1, round(wanted / (views_per_item * used_videos * own_epochs)))
    items = used_videos * samples
    own_epochs = max(1, round(wanted / (views_per_item * items)))  # again, since samples are whole
    return Budget(
        own_epochs, samples, 2 * pairs_per_batch // views_per_item, items, views_per_item * items * own_epochs
    )


def affordable_epochs(seconds: float, fixed: float, seconds_per_epoch: float, at_most: int) -> int:
    """Epochs of every run so that all fit into a time.

    Args:
        seconds: What there is.
        fixed: What does not depend on the epochs, such as the evaluation.
        seconds_per_epoch: Of all runs together.
        at_most: Largest number.

    Returns:
        At least 1, even if that takes longer.

    >>> affordable_epochs(600, 100, 20, 300), affordable_epochs(60, 100, 20, 300), affordable_epochs(1e6, 0, 1, 300)
    (25, 1, 300)
    """
    return max(1, min(at_most, int((seconds - fixed) / seconds_per_epoch)))
