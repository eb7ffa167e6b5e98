"""Keep the memory that an ascent frees and needs again at every step, with GNU's C library.

By default the library returns large tensors' memory to the system and requests it again, zeroed
page by page, at the next step: up to a quarter of a step's time on the CPU.
"""

from __future__ import annotations

import ctypes

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_LARGEST_INT = 2**31 - 1
#: The largest values that glibc adjusts itself to (mallopt(3)), after large tensors were used.
_LARGEST_THRESHOLD, _MOST_MAPPED = 32 * 2**20, 65536


def keep_freed_memory() -> None:
    """From now on, reuse freed memory rather than give it back; without effect elsewhere."""
    library = _c_library()
    if library is not None:
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)


def give_back_freed_memory() -> None:
    """Restore the usual behavior, and give back the memory that was kept."""
    library = _c_library()
    if library is not None:
        library.mallopt(_M_MMAP_MAX, _MOST_MAPPED)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        library.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD)
        library.malloc_trim(0)


def _c_library() -> ctypes.CDLL | None:
    """The process's own, if it is GNU's."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version, library.mallopt, library.malloc_trim  # noqa: B018
    except (AttributeError, OSError, TypeError):
        return None
    return library
