"""Freed memory that is kept between steps."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from neurovis.maximization import memory
from neurovis.maximization.memory import give_back_freed_memory, keep_freed_memory

try:
    ctypes.CDLL(None).gnu_get_libc_version  # noqa: B018
    has_glibc = True
except (AttributeError, OSError, TypeError):
    has_glibc = False

#: How often the system supplies a page while tensors of 48 MB come and go, eight times: as usual,
#: with what is freed kept, and then as usual again.
_COUNT_PAGES = """
import json, resource, torch
from neurovis.maximization.memory import give_back_freed_memory, keep_freed_memory

def pages():
    torch.ones(12_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(12_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

counts = [pages()]
for change in (keep_freed_memory, give_back_freed_memory):
    change()
    counts.append(pages())
print(json.dumps(counts))
"""


@pytest.mark.skipif(not has_glibc, reason="the C library is not GNU's")
@pytest.mark.slow
def test_large_tensors_reuse_what_others_left() -> None:
    """In a process of its own, as it is about a process's main thread."""
    command = [sys.executable, "-c", _COUNT_PAGES]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    usual, kept, again = json.loads(done.stdout)
    # Of 4 kB or 2 MB.
    assert usual >= 8 * 24
    assert kept < usual / 4
    assert again >= 8 * 24


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library that has ``mallopt`` but is not GNU's: its options have other meanings."""
    options: list[tuple[int, int]] = []
    library = SimpleNamespace(
        mallopt=lambda *option: options.append(option), malloc_trim=options.append
    )
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _name: library)
    keep_freed_memory()
    give_back_freed_memory()
    assert options == []
    library.gnu_get_libc_version = lambda: b"2.36"
    keep_freed_memory()
    assert options
