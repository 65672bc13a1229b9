"""Does the schedule of a config end when its training does?"""

from mmengine.config import Config


def schedule_warning(cfg: Config) -> str | None:
    """A sentence if the learning rate is scheduled for another number of epochs than are trained; else None.

    Args:
        cfg: The config of a run, with options merged; a schedule counts if it is by epoch and says when it ends.

    >>> linear = dict(type='LinearLR', begin=0, end=200)
    >>> schedule_warning(Config(dict(train_cfg=dict(max_epochs=20), param_scheduler=[linear])))
    'train_cfg.max_epochs is 20, but param_scheduler.0 ends after 200: set param_scheduler.0.end=20.'
    """
    epochs = (cfg.get('train_cfg') or {}).get('max_epochs')
    schedules = cfg.get('param_scheduler') or []
    schedules = [schedules] if isinstance(schedules, dict) else schedules
    ends = {
        place: schedule['end']
        for place, schedule in enumerate(schedules)
        if isinstance(schedule, dict) and schedule.get('by_epoch', True) and schedule.get('end') is not None
    }
    if epochs is None or not ends:
        return None
    place, end = max(ends.items(), key=lambda item: item[1])
    if end == epochs:
        return None
    keys = [f'param_scheduler.{place}.{key}={epochs}' for key in ('end', 'T_max') if key in schedules[place]]
    return f'train_cfg.max_epochs is {epochs}, but param_scheduler.{place} ends after {end}: set {" ".join(keys)}.'
