"""Run the core of the suite on the simulated GPU, and say what it showed, folder by folder.

    python tests/devices/run_core.py [--mode plain|bfloat16|no-float64] [PATH ...]

Without a mode it runs in all three, each in a process of its own; without paths, all of the core.
It exits with 0 if no test failed. ``left_out.py`` says what is left out, and why. A test counts as
computed on the device if a kernel ran there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
MODES = ("plain", "bfloat16", "no-float64")
#: What computes something on a device; not the tests of names, files and options.
CORE = (
    *(
        "maximization",
        "top_images",
        "tuning",
        "saliency",
        "callbacks",
        "restoration",
        "devices/on_device",
    ),
    *("test_receptive_fields.py", "test_receptive_field_positions.py", "test_readouts.py"),
    *("test_recording.py", "test_restoration.py", "test_differentiation.py"),
    *("test_rectifiers.py", "test_reported_precision.py"),
    *("analysis/test_judges.py", "analysis/test_predictability.py", "analysis/test_stability.py"),
)


def environment(mode: str) -> dict[str, str]:
    """Variables of a process that finds the device and the tests' own modules."""
    paths = [str(HERE), str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "SIMULATED_GPU_MODE": mode, "PYTHONPATH": os.pathsep.join(paths)}


def command(*arguments: str) -> list[str]:
    """Return what runs tests on the device, in one process."""
    options = ["-q", "-p", "on_simulated_gpu", "-p", "no:cacheprovider", "-n", "0"]
    return [sys.executable, "-m", "pytest", *options, *arguments]


def main() -> int:
    """Run the modes one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mode", choices=MODES, action="append", help="default: all three")
    parser.add_argument("paths", nargs="*", help="default: the core of the suite")
    given = parser.parse_args()
    paths = [Path(path).resolve() for path in given.paths] or [TESTS / path for path in CORE]
    codes = [
        subprocess.run(
            command("-rfE", "--tb=short", *map(str, paths)),
            cwd=TESTS.parent,
            env=environment(mode),
        ).returncode
        for mode in given.mode or MODES
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
