"""Let the processes of a distributed run agree on which videos they drop, since they must see the same data set."""

import json
import logging
from collections import Counter
from datetime import timedelta

from mmengine.dist import get_rank, get_world_size, is_distributed
from mmengine.logging import print_log
from torch.distributed import distributed_c10d
from torch.utils.data import get_worker_info

PATIENCE = timedelta(minutes=1)  # before a process says whom it waits for
TIMEOUT = timedelta(minutes=30)  # what torch.distributed gives a collective call

_turns: Counter[str] = Counter()


def unite(bad: dict[str, str], name: str) -> dict[str, str]:
    """The bad videos that any process has found. Processes may be on machines with copies of their own.

    They meet in the key-value store of the default process group rather than in a collective call, because this works
    with any backend before there is a device, and a process that waits in vain can say so.

    Args:
        bad: Reason by video id, of this process.
        name: What was checked: the same in all processes for one data set, and another for another.

    Returns:
        The same in all processes. Without process group, with a single process, or in a loader's worker: ``bad``.

    Raises:
        RuntimeError: The others have not checked that for 30 minutes.
    """
    if not is_distributed() or get_world_size() == 1 or get_worker_info() is not None:
        return bad
    store = distributed_c10d._get_default_store()
    rank, world_size = get_rank(), get_world_size()
    turn, _turns[name] = _turns[name], _turns[name] + 1
    keys = [f'uscl_plugin/bad_videos/{name}/{turn}/{other}' for other in range(world_size)]
    store.set(keys[rank], json.dumps(bad))
    for patience in (PATIENCE, TIMEOUT):
        try:
            store.wait(keys, patience)
            break
        except RuntimeError as error:
            missing = [other for other in range(world_size) if not store.check([keys[other]])]
            message = (
                f'process {rank} has verified its videos and waits for process {", ".join(map(str, missing))}: all '
                f'must build this data set, from the same annotation; set verify="local" where one alone builds it.'
            )
            if patience == TIMEOUT:
                raise RuntimeError(message) from error
            print_log(message, logger='current', level=logging.ERROR)  # warnings of other processes than 0 are hidden
    united: dict[str, str] = {}
    for other in range(world_size):
        for video_id, reason in json.loads(store.get(keys[other])).items():
            united.setdefault(video_id, f'{reason} (process {other})')
    return united
