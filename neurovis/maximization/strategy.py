"""Several devices that each optimize images of their own, with nothing to share on the way."""

from __future__ import annotations

from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry

STRATEGY_NAME = "neurovis_independent"


class IndependentDDPStrategy(DDPStrategy):
    """DDP's processes and rank bookkeeping without its wrapper around the module.

    Plain DDP would give every rank the images of rank 0 and average their gradients; here each
    rank owns its images. Chosen by ``Trainer(strategy="neurovis_independent")``.
    """

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
