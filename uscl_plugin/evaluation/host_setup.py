"""What a process that evaluates sets once."""

from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from uscl_plugin.weights.plain_checkpoints import only_plain_checkpoints


def set_up_hosts(name: str = 'evaluate') -> None:
    """Let the hosts find MMPretrain's parts, load plain checkpoints only, and log errors alone.

    Args:
        name: Of the logger.
    """
    init_default_scope('mmpretrain')
    if not MMLogger.check_instance_created(name):  # otherwise MMEngine logs the initialisation of every weight
        MMLogger.get_instance(name, log_level='ERROR')
    only_plain_checkpoints()
