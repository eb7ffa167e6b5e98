"""Build the simulated GPU, once for each version of torch and of its source."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import torch

NAME = "simulated_gpu_library"
_SOURCE = Path(__file__).with_name("source")
_TORCH = Path(torch.__file__).parent


class CannotBuildError(RuntimeError):
    """There is no compiler, or it does not accept this version of torch."""


def built() -> Path:
    """Return the library's file, built if need be; other processes wait for it meanwhile.

    Raises:
        CannotBuildError: If it cannot be built on this machine.
    """
    folder = Path(tempfile.gettempdir()) / f"neurovis_simulated_gpu_{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise CannotBuildError(f"{folder} belongs to another user; remove it")
    library = folder / f"{_fingerprint()}.so"
    failure = library.with_suffix(".failure")
    with library.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists() and not failure.exists():
            _build(library, failure)
    if not library.exists():
        raise CannotBuildError(failure.read_text())
    return library


def _build(library: Path, failure: Path) -> None:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise CannotBuildError("there is no C++ compiler; install g++")
    includes = [_TORCH / "include", _TORCH / "include/torch/csrc/api/include"]
    includes.append(Path(sysconfig.get_paths()["include"]))
    unfinished = library.with_suffix(f".{os.getpid()}")
    # Not optimized, which halves the time: the kernels are torch's own.
    command = [compiler, "-O0", "-std=c++20", "-w", "-fPIC", "-shared"]
    command += [
        f"-DTORCH_EXTENSION_NAME={NAME}",
        str(_SOURCE / "module.cpp"),
        "-o",
        str(unfinished),
    ]
    command += [part for include in includes for part in ("-isystem", str(include))]
    command += [f"-L{_TORCH / 'lib'}", "-lc10", "-ltorch", "-ltorch_cpu", "-ltorch_python"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode == 0:
        unfinished.rename(library)
        return
    errors = [line for line in done.stderr.splitlines() if "error" in line] or [done.stderr[-300:]]
    failure.write_text(f"it does not compile with torch {torch.__version__}: {errors[0]}")


def _fingerprint() -> str:
    """What the library depends on; another build of it is another file."""
    digest = hashlib.sha256(f"{torch.__version__} {sysconfig.get_config_var('SOABI')}".encode())
    for file in sorted(_SOURCE.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
