"""Folders that cannot be written to, full disks, and runs that were stopped or are another's."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path

from bad_input.bad import Bad
from bad_input.commands import AM, DEMO, FEATURES, GROUP_AM, RANK, SALIENCY
from bad_input.makers import Maker, all_of, array, closed, folder, text
from kept import FIRST_RUN

from neurovis.cli.main import main

_HERE = "--trainer.logger false"
PICTURE = array("p.npy", [[[0.5] * 64] * 64] * 4)

#: The files of a stopped run, once there was one.
_STOPPED: dict[Path, bytes] = {}


def _run(command: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main(shlex.split(command))


def stopped_run() -> None:
    """A run in the working folder, of two kernels one after the other, one of which is finished."""
    if not _STOPPED:
        _run(f"{AM} {_HERE} --kernels 0,1 --batch_size 1 --trainer.max_steps 3")
        files = (path for path in Path().rglob("*") if path.is_file())
        _STOPPED.update({path: path.read_bytes() for path in files})
    for path, content in _STOPPED.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _changed_manifest(**content: object) -> Maker:
    return lambda: Path("manifest.json").write_text(json.dumps(content))


def _as_folder(pattern: str) -> Maker:
    def make() -> None:
        (path,) = Path().glob(pattern)
        path.unlink()
        path.mkdir()

    return make


def _as_pipe(pattern: str) -> Maker:
    def make() -> None:
        (path,) = Path().glob(pattern)
        path.unlink()
        os.mkfifo(path)

    return make


def _socket(name: str) -> Maker:
    def make() -> None:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(name)

    return make


GOING_ON = f"{AM} {_HERE} --kernels 0,1 --batch_size 1"

_FOLDERS = [
    Bad(
        f"{command.split()[0]} into a file",
        f"{command} {option} taken/runs",
        'cannot write to "taken',
        all_of(text("taken"), PICTURE),
    )
    for command, option in (
        *((one, "--trainer.default_root_dir") for one in (AM, GROUP_AM, RANK)),
        *((f"{one} p.npy", "--trainer.default_root_dir") for one in (FEATURES, SALIENCY)),
        (DEMO, "--folder"),
    )
]
_FOLDERS += [
    Bad(
        f"{command.split()[0]} into a closed folder",
        f"{command} {option} shut/runs",
        'cannot write to "shut/runs": no permission in',
        all_of(closed("shut", folder("shut")), PICTURE),
        as_root=False,
    )
    for command, option in (
        *((one, "--trainer.default_root_dir") for one in (AM, RANK, f"{FEATURES} p.npy")),
        (DEMO, "--folder"),
    )
]
_FOLDERS += [
    Bad("a file for all runs", AM, 'lightning_logs" is not a folder', text("lightning_logs")),
    Bad("a file for all rankings", RANK, 'lightning_logs" is not a folder', text("lightning_logs")),
    Bad(
        "into a device", f"{AM} --trainer.default_root_dir /dev/full", '"/dev/full" is not a folder'
    ),
    Bad("into a device's folder", f"{DEMO} --folder /dev/null/x", '"/dev/null" is not a folder'),
    Bad(
        "a null byte in a folder",
        (*shlex.split(RANK), "--trainer.default_root_dir", "a\0b"),
        'cannot write to "a\\x00b": its name has a null byte',
    ),
    Bad(
        "an endless folder", f"{AM} --trainer.default_root_dir {'x' * 999}", '": File name too long'
    ),
    Bad(
        "a folder for the manifest",
        f"{AM} {_HERE}",
        'manifest.json": is a folder, and was to be a file',
        folder("manifest.json"),
    ),
    Bad(
        "a pipe for the manifest",
        f"{AM} {_HERE}",
        'manifest.json" … pipe, socket or device',
        lambda: os.mkfifo("manifest.json"),
    ),
    Bad(
        "a socket for the manifest",
        f"{AM} {_HERE}",
        'manifest.json" … pipe, socket or device',
        _socket("manifest.json"),
    ),
    Bad(
        "a file for finished images",
        f"{AM} {_HERE}",
        'finished" is not a folder',
        text("finished"),
    ),
]

_RUNS = [
    Bad(
        "another seed",
        f"{GOING_ON} --seed 3",
        "unfinished run … settings.seed (3 here, 0 there)",
        stopped_run,
    ),
    Bad(
        "another layer",
        f"{GOING_ON} --layer conv3 --tv 2",
        "unfinished run … settings.tv (2.0 here, 0.0 there)",
        stopped_run,
    ),
    Bad(
        "another network",
        f"{GOING_ON} --model neurovis.demo.ShapeNet --input.modalities rgbd --input.size 64",
        "an unfinished run that differs in network.sha256 (",
        stopped_run,
    ),
    Bad(
        "another program's manifest",
        f"{AM} {_HERE}",
        'manifest.json" … would be replaced … move it away',
        _changed_manifest(name="my web page", icons=[]),
    ),
    Bad(
        "half a manifest's keys",
        GOING_ON,
        'manifest.json" is not of a run of NeuroVis',
        all_of(stopped_run, _changed_manifest(network=3, settings=[1], layers=5)),
    ),
    Bad(
        "a pipe for a finished image",
        GOING_ON,
        'kernel_0000.npz" … pipe, socket or device',
        all_of(stopped_run, _as_pipe("finished/*/kernel_0000.npz")),
    ),
    Bad(
        "a folder for a finished image",
        GOING_ON,
        'kernel_0000.npz": is a folder, and was to be a file',
        all_of(stopped_run, _as_folder("finished/*/kernel_0000.npz")),
    ),
]


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Files take so many bytes inside, and no more, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


PLACES = [*_FOLDERS, *_RUNS]

#: For each command, how many bytes a file may have, and which one is the first that is too large.
FULL = {
    "am": (f"{AM} {_HERE}", 100, "manifest.json"),
    "am on its way": (f"{AM} {_HERE}", 5_000, "finished/conv2/kernel_0000.png"),
    "group-am": (f"{GROUP_AM} {_HERE}", 100, "manifest.json"),
    "rank": (f"{RANK} {_HERE} --sheets 0", 1000, f"{FIRST_RUN}/results.csv"),
    "features": (f"{FEATURES} p.npy {_HERE}", 500, f"{FIRST_RUN}/feature_maps/conv2/0000_p.png"),
    "saliency": (
        f"{SALIENCY} p.npy {_HERE}",
        500,
        f"{FIRST_RUN}/saliency/gradient/output/0000_p.png",
    ),
    "logs": (RANK, 20, "the run's logs"),
}
