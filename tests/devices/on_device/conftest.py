"""Tests in this folder run on the simulated GPU, in processes that have it.

``tests/devices/test_on_simulated_gpu.py`` starts them; to run some by hand:
``PYTHONPATH=.:tests/devices pytest -p on_simulated_gpu -n 0 tests/devices/on_device``
"""

from __future__ import annotations

import sys

collect_ignore_glob = [] if "on_simulated_gpu" in sys.modules else ["test_*.py"]
