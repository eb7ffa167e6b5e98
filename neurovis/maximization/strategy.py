"""Several devices that each optimize images of their own, with nothing to share on the way."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor
from typing_extensions import override

from neurovis.maximization.heartbeats import Heartbeats, open_store

STRATEGY_NAME = "neurovis_independent"


class IndependentDDPStrategy(DDPStrategy):
    """DDP's processes and rank bookkeeping without its wrapper around the module.

    Plain DDP would give every rank the images of rank 0 and average their gradients; here each
    rank owns its images, and makes as many steps as they take. Chosen by
    ``Trainer(strategy="neurovis_independent")``.

    Nothing but results travels between ranks, on the CPU, so that gloo serves every device: unlike
    NCCL it notices at once when a rank has ended. One that is at work asks for
    :class:`Heartbeats`.

    Args:
        **options: Options of Lightning's ``DDPStrategy``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"process_group_backend": "gloo", **options})
        self._is_apart = False
        self._heartbeats: Heartbeats | None = None

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
        """Let every rank work independently."""
        super().on_train_start()
        if self.cluster_environment is not None and self.world_size > 1:
            address = self.cluster_environment.main_address
            # Rank 0 chooses the port.
            store = open_store(address, 0, 0) if self.global_rank == 0 else None
            port = self.broadcast(0 if store is None else store.port)
            store = store or open_store(address, port, self.global_rank)
            self._heartbeats = Heartbeats(store, self.global_rank, self.world_size)
        self._is_apart = True

    @override
    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Make a step, if all ranks are alive.

        Raises:
            RuntimeError: If one has ended.
        """
        if self._heartbeats is not None:
            self._heartbeats.check()
        return super().training_step(*args, **kwargs)

    @override
    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Wait for all ranks, however long they are apart."""
        self._meet()
        super().barrier(*args, **kwargs)

    @override
    def reduce(self, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        """Reduce a tensor of all ranks, on the CPU."""
        self._meet()
        tensor = tensor.cpu() if isinstance(tensor, Tensor) else tensor
        return super().reduce(tensor, *args, **kwargs)

    @override
    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """Send an object to all ranks."""
        self._meet()
        return super().broadcast(obj, src)

    @override
    def on_train_end(self) -> None:
        """Join the ranks again."""
        self._come_together()
        super().on_train_end()

    @override
    def teardown(self) -> None:
        """Join the ranks again, also after an exception."""
        self._come_together()
        super().teardown()

    @override
    def configure_ddp(self) -> None:
        """Wrap nothing: there is no gradient that ranks share."""

    def _meet(self) -> None:
        if self._heartbeats is not None:
            self._heartbeats.meet()

    def _come_together(self) -> None:
        self._is_apart = False
        if self._heartbeats is not None:
            self._heartbeats.stop()
            self._heartbeats = None


def register_strategy() -> None:
    """Make the strategy known to the Trainer by its name; harmless when done again."""
    if STRATEGY_NAME not in StrategyRegistry:
        StrategyRegistry.register(
            STRATEGY_NAME,
            IndependentDDPStrategy,
            description="Independent images on each rank, for activation maximization",
        )
