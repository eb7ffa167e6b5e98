"""Notice that another process of a run has ended, and wait for those that live."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

# Public, and exported without saying so.
from torch.distributed import TCPStore  # type: ignore[attr-defined]

#: Seconds between two beats, and without one after which a process counts as ended.
BEAT, PATIENCE = 3.0, 40.0
_LONGEST_PAUSE = 1.0


class Heartbeats:
    """Counters that each process keeps raising, in a thread, and watches those of the others.

    Processes that work for hours without a word to each other cannot tell by the timeout of a
    collective whether another is busy or gone.

    Args:
        store: Where the counters are; in the process of rank 0.
        rank: Rank of this process.
        ranks: Number of processes.
        beat: Seconds between two beats.
        patience: Seconds without a beat after which a process counts as ended.
    """

    def __init__(
        self,
        store: TCPStore,
        rank: int,
        ranks: int,
        beat: float = BEAT,
        patience: float = PATIENCE,
    ) -> None:
        self._store, self._rank, self._ranks = store, rank, ranks
        self._beat, self._patience = beat, patience
        self._failure: str | None = None
        self._meetings = 0
        self._last_passed: str | None = None
        self._stopped = threading.Event()
        # A store serves one request at a time.
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeats")
        self._thread.start()

    def check(self) -> None:
        """Raise RuntimeError if another process has ended."""
        if self._failure is not None:
            raise RuntimeError(
                f"{self._failure}; finished images are kept, run the same command again to resume"
            )

    def meet(self) -> None:
        """Wait until all processes are here, however long they work.

        Raises:
            RuntimeError: If one of them has ended.
        """
        name, pause = f"meeting {self._meetings}", 0.01
        self._meetings += 1
        here = self._add(name, 1)
        while here < self._ranks:
            self.check()
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            here = self._add(name, 0)
        self._last_passed = f"passed {name}"
        self._add(self._last_passed, 1)

    def stop(self) -> None:
        """End the beats; for the others this process has ended."""
        # They lose the store with rank 0, and may be about to look who is here.
        while self._rank == 0 and self._failure is None and self._last_passed is not None:
            if self._add(self._last_passed, 0) == self._ranks:
                break
            time.sleep(0.01)
        self._stopped.set()
        self._thread.join()

    def _add(self, name: str, amount: int) -> int:
        try:
            with self._lock:
                return self._store.add(name, amount)
        except RuntimeError:
            self._failure = self._failure or "the process of rank 0 has ended"
            self.check()
            raise

    def _run(self) -> None:
        others = [rank for rank in range(self._ranks) if rank != self._rank]
        counts = dict.fromkeys(others, -1)
        heard = dict.fromkeys(others, time.monotonic())
        while not self._stopped.wait(self._beat):
            try:
                with self._lock:
                    self._store.add(f"beats of {self._rank}", 1)
                    beats = {rank: self._store.add(f"beats of {rank}", 0) for rank in others}
            except RuntimeError:
                self._failure = "the process of rank 0 has ended"
                return
            now = time.monotonic()
            for rank, count in beats.items():
                if count != counts[rank]:
                    counts[rank], heard[rank] = count, now
                elif now - heard[rank] > self._patience:
                    self._failure = f"the process of rank {rank} has ended or cannot be reached"
                    return


def open_store(address: str, port: int, rank: int) -> TCPStore:
    """The store of all processes, which rank 0 serves.

    Args:
        address: Address of the machine of rank 0.
        port: Port that rank 0 serves; 0 there to choose a free one.
        rank: Rank of this process.
    """
    patience = timedelta(seconds=PATIENCE)
    return TCPStore(address, port, is_master=rank == 0, timeout=patience, wait_for_workers=False)
