"""Read the file that says how to start Dask workers with Slurm."""

from pathlib import Path
from typing import Any

# Keyword arguments of dask_jobqueue.SLURMCluster that a file may give, and their types; and `jobs`.
_KEYS: dict[str, type] = {
    **dict.fromkeys(('jobs', 'processes', 'job_cpu', 'death_timeout'), int),
    **dict.fromkeys(('queue', 'account', 'memory', 'walltime', 'job_mem', 'job_name', 'interface', 'protocol'), str),
    **dict.fromkeys(('local_directory', 'log_directory', 'shared_temp_directory', 'python', 'shebang'), str),
    **dict.fromkeys(('job_extra_directives', 'job_directives_skip', 'job_script_prologue', 'worker_extra_args'), list),
}
_NEEDED = ('jobs', 'memory', 'walltime')


def read_slurm_file(path: str | Path, threads: int) -> tuple[int, dict[str, Any]]:
    """Read and check a file such as docs/cluster.md shows.

    Args:
        path: A YAML file of plain values.
        threads: Threads of a task; a job gets as many cores for each of its processes, unless the file gives
            ``job_cpu``.

    Returns:
        Number of jobs, and keyword arguments for ``dask_jobqueue.SLURMCluster``.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not YAML, a key is missing or unknown, or a value has another type.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path} does not exist: write it as docs/cluster.md shows.') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is not YAML: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} should have lines KEY: VALUE, with {", ".join(_NEEDED)}.')
    for key, value in content.items():
        if key not in _KEYS:
            raise ValueError(f'{path}: {key} is unknown, expected one of {", ".join(sorted(_KEYS))}.')
        is_right = isinstance(value, _KEYS[key]) and not isinstance(value, bool)
        if is_right and isinstance(value, list):
            is_right = all(isinstance(each, str) for each in value)
        if not is_right or (isinstance(value, int) and value < 1):
            wanted = {int: 'a number, at least 1', str: 'a text (put it in quotes)', list: 'a list of texts'}[
                _KEYS[key]
            ]
            raise ValueError(f'{path}: {key} should be {wanted}, got {value!r}.')
    if missing := [key for key in _NEEDED if key not in content]:
        raise ValueError(f'{path} has no {", ".join(missing)}: add it.')
    processes = content.setdefault('processes', 1)
    content.setdefault('job_cpu', threads * processes)
    # Dask's cores are tasks at a time, of which each process has one.
    return content.pop('jobs'), content | {'cores': processes}
