"""The option of the commands that can use several machines."""

from dataclasses import dataclass
from typing import Annotated

from .options import Arg


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where the tasks of a command run.

    Attributes:
        cluster: Run on Dask workers: the address of a scheduler (HOST:PORT), slurm.yaml, or local:N for N processes
            here; see docs/cluster.md (default: in this process and its own).
    """

    cluster: Annotated[str | None, Arg('ADDRESS')] = None
