"""Several devices that each optimize images of their own, with nothing to share on the way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from typing_extensions import override

STRATEGY_NAME = "neurovis_independent"

#: Ranks meet at the end only, and one may be done long before another; torch gives up after half an
#: hour.
_PATIENCE = timedelta(days=30)


class IndependentDDPStrategy(DDPStrategy):
    """DDP's processes and rank bookkeeping without its wrapper around the module.

    Plain DDP would give every rank the images of rank 0 and average their gradients; here each
    rank owns its images, and makes as many steps as they take. Chosen by
    ``Trainer(strategy="neurovis_independent")``.

    Args:
        **options: Of Lightning's ``DDPStrategy``.
    """

    _is_apart = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"timeout": _PATIENCE, **options})

    @property
    @override
    def world_size(self) -> int:
        """Processes that make steps together: between the start and the end of training, one.

        The Trainer would have all ranks wait for the first at every step, and hang where they make
        different numbers of steps.
        """
        return 1 if self._is_apart else super().world_size

    @override
    def on_train_start(self) -> None:
        """Let every rank go its own way."""
        super().on_train_start()
        self._is_apart = True

    @override
    def on_train_end(self) -> None:
        """Be together again."""
        self._is_apart = False
        super().on_train_end()

    @override
    def teardown(self) -> None:
        """Be together again, whatever happened."""
        self._is_apart = False
        super().teardown()

    @override
    def configure_ddp(self) -> None:
        """Wrap nothing: there is no gradient that ranks share."""


def register_strategy() -> None:
    """Make the strategy known to the Trainer by its name; harmless when done again."""
    if STRATEGY_NAME not in StrategyRegistry:
        StrategyRegistry.register(
            STRATEGY_NAME,
            IndependentDDPStrategy,
            description="Independent images on each rank, for activation maximization",
        )
