"""Save checkpoints that load everywhere without executing pickled code."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..plain import to_plain


@HOOKS.register_module()
class PlainCheckpointHook(Hook):
    """Turn every checkpoint of the run into tensors and plain Python types before it is saved.

    MMEngine keeps the smoothed log values as pickled objects, which ``torch.load`` refuses since version 2.6, so that
    mmengine 0.10.7 cannot resume from its own checkpoints there. Those histories are dropped (after resuming, smoothed
    log values start anew); weights, optimiser, schedulers and the run's state (``runtime_info``) are kept.
    """

    priority = 'LOWEST'  # after every hook that adds to the checkpoint

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Make ``checkpoint`` plain, in place; the runner's own objects are not changed.

        Args:
            runner: Its logger says, once for every place, what else had to be left out.
            checkpoint: What is about to be saved.
        """

        def report(where: str, value: Any) -> None:
            if where not in self._reported:
                self._reported.add(where)
                runner.logger.warning(f'{where} ({type(value).__qualname__}) has no plain form and is not saved.')

        plain = to_plain(checkpoint, unknown=report)
        if 'message_hub' in plain:
            plain['message_hub'] = _without_orphans(plain['message_hub'])
        checkpoint.clear()
        checkpoint.update(plain)


def _without_orphans(message_hub: dict) -> dict:
    """Drop ``resumed_keys`` whose value was dropped: MMEngine would warn about each of them on resuming."""
    scalars, info = message_hub.get('log_scalars', {}), message_hub.get('runtime_info', {})
    resumed = {
        key: value for key, value in message_hub.get('resumed_keys', {}).items() if key in scalars or key in info
    }
    # MessageHub.load_state_dict asserts that all three are there.
    return {**message_hub, 'log_scalars': scalars, 'runtime_info': info, 'resumed_keys': resumed}
