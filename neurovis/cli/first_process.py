"""Tell the process of a run that prints from the others."""

from __future__ import annotations

import os
import sys

#: Environment variables in which launchers give a process its rank, in Lightning's order.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def is_first_process() -> bool:
    """Return whether this process of a run is the one that prints.

    Lightning knows; before it is imported, which takes seconds, the launcher's variables tell.
    """
    if "lightning.pytorch" not in sys.modules:
        given = [os.environ[name] for name in _RANKS if name in os.environ]
        return not given or given[0] == "0"
    from lightning.pytorch.utilities import rank_zero_only

    return bool(getattr(rank_zero_only, "rank", 0) == 0)
