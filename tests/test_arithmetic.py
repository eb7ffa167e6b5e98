"""Float32 without shortcuts, whichever of torch's two ways of setting precision was used."""

from __future__ import annotations

import json
import subprocess
import sys

import torch

from neurovis.arithmetic import exact_float32, has_float64

#: Prints what is set before, inside, nested inside, and after a block that raises, for each line.
_SCRIPT = """
import json, os, sys, torch
from neurovis.arithmetic import exact_float32
backends = torch.backends
cudnn, mkldnn, matmul = backends.cudnn, backends.mkldnn, backends.cuda.matmul
new = (backends, cudnn, cudnn.conv, cudnn.rnn, matmul, mkldnn.matmul, mkldnn.conv, mkldnn.rnn)
old = (
    torch.get_float32_matmul_precision,
    lambda: cudnn.allow_tf32,
    lambda: matmul.allow_tf32,
)

def settings():
    found = [one.fp32_precision for one in new]
    for read in old:
        try:
            found.append(read())
        except RuntimeError:
            found.append("contradiction")
    return found

def look():
    before = settings()
    with exact_float32():
        inside = settings()
        with exact_float32(), cudnn.flags(enabled=False):  # Torch's own reads the older names.
            pass
        nested = settings()
    try:
        with exact_float32():
            raise ValueError
    except ValueError:
        pass
    print(json.dumps([before, inside, nested, settings()]), flush=True)

for line in sys.argv[1:]:
    # In a process of its own: what is set cannot be unset.
    child = os.fork()
    if child == 0:
        exec(line)
        look()
        os._exit(0)
    os.waitpid(child, 0)
"""

#: As set by nobody, by the older names, by the newer ones, and by both.
SETTINGS = [
    "",
    "torch.set_float32_matmul_precision('medium')",
    "cudnn.allow_tf32 = False; matmul.allow_tf32 = True",
    "matmul.fp32_precision = 'tf32'",
    "backends.fp32_precision = 'tf32'; mkldnn.matmul.fp32_precision = 'bf16'",
]


def test_every_setting_is_exact_inside_and_as_found_afterwards() -> None:
    command = [sys.executable, "-c", _SCRIPT, *SETTINGS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(SETTINGS), done.stderr
    for line, (before, inside, nested, after) in zip(SETTINGS, found, strict=True):
        assert before != inside, line
        assert inside == nested == [*["ieee"] * 8, "highest", False, False], line
        assert after == before, line


def test_devices_with_float64() -> None:
    assert has_float64(torch.device("cpu"))


def test_exact_float32_is_not_float32_of_bfloat16() -> None:
    """On a CPU that has bfloat16, matrix products may be rounded to it."""
    left, right = torch.rand(64, 64), torch.rand(64, 64)
    exact = (left.double() @ right.double()).float()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with exact_float32():
            product = left @ right
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    torch.testing.assert_close(product, exact, rtol=1e-5, atol=0)
