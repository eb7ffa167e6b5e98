"""Record of the network and settings behind images, so that those of others are not mixed in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import nn

from neurovis._version import __version__
from neurovis.files import check_readable, check_replaceable, whole_file
from neurovis.inputs import InputSpec
from neurovis.layers import class_name
from neurovis.maximization.fingerprints import described, network_digest, sha256
from neurovis.maximization.jobs import FINISHED
from neurovis.maximization.kept_images import highest_levels
from neurovis.maximization.settings import AscentSettings

#: The manifest's name in the folder of a run.
MANIFEST = "manifest.json"

#: What has to be the same for images to belong together; everything else is for the record.
_IDENTITY = ("neurovis", "network", "input", "settings", "targets")
#: The entry of what the network is run in, which is known once there is a device.
_PRECISION = "computed_in"


@dataclass(frozen=True)
class Manifest:
    """Record of the network, input and settings that made the images of a folder.

    Args:
        content: Content of ``manifest.json``.
    """

    content: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder, or None where there is none that can be read."""
        try:
            check_readable(folder / MANIFEST)
            content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return cls(content) if isinstance(content, dict) else None

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all.

        Raises:
            OSError: If it cannot be written.
        """
        with whole_file(folder / MANIFEST) as partial:
            partial.write_text(json.dumps(self.content, indent=2) + "\n", encoding="utf-8")

    def with_entries(self, **entries: object) -> Manifest:
        """Return the manifest with more entries, or others in place of its own."""
        return Manifest({**self.content, **entries})

    @property
    def batch_size(self) -> int | None:
        """Images that are optimized together; None if that is still to be chosen."""
        settings = self.content.get("settings")
        size = settings.get("batch_size") if isinstance(settings, Mapping) else None
        return size if type(size) is int and size > 0 else None

    def with_batch_size(self, size: int) -> Manifest:
        """Return the manifest with a batch size that was chosen."""
        return self.with_entries(settings={**self.content["settings"], "batch_size": size})

    def resuming(self, other: Manifest) -> Manifest:
        """Return the manifest with the batch size of another run, if it is still to be chosen."""
        if self.batch_size is not None or other.batch_size is None:
            return self
        return self.with_batch_size(other.batch_size)

    @property
    def is_of_a_run(self) -> bool:
        """True if this is a run's manifest; other programs have files of this name, too."""
        return all(name in self.content for name in _IDENTITY)

    @property
    def is_complete(self) -> bool:
        """True if all images that were asked for are there."""
        return self.content.get("complete") is True

    @cached_property
    def fingerprint(self) -> str:
        """A digest of everything that shapes an image but what it is of."""
        identity = {name: self.content.get(name) for name in _IDENTITY}
        return sha256(json.dumps(identity, sort_keys=True).encode())[:16]

    def asks_for_the_same(self, other: Manifest) -> bool:
        """Return True if two runs are to make the same images."""
        return self.fingerprint == other.fingerprint and self.content.get(
            "layers"
        ) == other.content.get("layers")

    def differences(self, other: Manifest) -> list[str]:
        """Return the entries that shape images and differ in another, ``name (here, there)``."""
        names = list(_IDENTITY)
        if _PRECISION in self.content and _PRECISION in other.content:
            names.append(_PRECISION)
        return [
            line
            for name in names
            for line in _differences(name, self.content.get(name), other.content.get(name))
        ]

    def differences_in_images(self, other: Manifest) -> list[str]:
        """Return which images are asked for here and not in another, or there and not here."""
        return _differences("layers", self.content.get("layers"), other.content.get("layers"))


def unfinished_run(
    folder: str | Path, manifest: Manifest, last_file: str = MANIFEST
) -> Path | None:
    """The latest run below a folder that is to make the same images and was stopped.

    Args:
        folder: With one folder for each run, such as ``lightning_logs``.
        manifest: Manifest of the run to resume.
        last_file: What a run writes in the end, where images are not all that it makes: one that
            does not have it was stopped, too.
    """
    there = (
        (path.parent, Manifest.read(path.parent)) for path in Path(folder).glob(f"*/{MANIFEST}")
    )
    stopped = [
        run
        for run, other in there
        if other is not None
        and not (other.is_complete and (run / last_file).exists())
        and manifest.resuming(other).asks_for_the_same(other)
    ]
    return max(stopped, key=lambda run: (run / MANIFEST).stat().st_mtime, default=None)


def resume_folder(folder: Path, manifest: Manifest) -> tuple[Manifest, bool]:
    """Return the manifest of a run that resumes what a folder holds, and if it replaces that.

    Args:
        folder: Folder of the run.
        manifest: Manifest of the run.

    Raises:
        ValueError: If there is an unfinished run of another network or of other settings, or
            something else that has a manifest's name.
        OSError: If the manifest cannot be replaced.
    """
    check_replaceable(folder / MANIFEST)
    there = Manifest.read(folder)
    if there is None:
        return manifest, False
    if not there.is_of_a_run:
        raise ValueError(
            f'"{folder / MANIFEST}" is not of a run of NeuroVis and would be replaced; move it '
            "away, or choose another folder"
        )
    resumed = manifest.resuming(there)
    differences = resumed.differences(there)
    if not differences:
        return resumed, False
    if not any((folder / FINISHED).rglob("*.npz")):
        return manifest, False
    if not there.is_complete:
        raise ValueError(
            f'"{folder}" holds an unfinished run that differs in {"; ".join(differences)}; '
            "start it with what it was begun with, or choose another folder"
        )
    rank_zero_warn(f'images in "{folder}" are replaced; they differ in {"; ".join(differences)}')
    return manifest, True


def make_manifest(
    network: nn.Module,
    input_spec: InputSpec,
    settings: AscentSettings,
    objective: object,
    targets: str,
    layers: Mapping[str, object],
) -> Manifest:
    """The manifest of a run that is about to start.

    Args:
        network: As it is run.
        input_spec: What it is shown.
        settings: How the ascent is done.
        objective: The objective, with what it has read from files.
        targets: What images are made of: kernels, or groups.
        layers: By name, the images that are asked for.
    """
    return Manifest(
        {
            "neurovis": __version__,
            "torch": str(torch.__version__),
            "network": {"class": class_name(network), "sha256": network_digest(network)},
            "input": described(input_spec),
            "settings": {
                **described(settings),
                # What is behind names of files, too.
                "prepared_objective": described(objective),
                "images": settings.resolved_parametrization.fingerprint(input_spec),
                "views": described(settings.views(input_spec)),
                "constraints": repr(settings.constraints.prepared(input_spec)),
                "levels": highest_levels(input_spec, settings),
            },
            "targets": targets,
            "layers": described(layers),
            "complete": False,
        }
    )


def _differences(name: str, here: object, there: object) -> list[str]:
    if here == there:
        return []
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        keys = dict.fromkeys([*here, *there])
        return [
            line
            for key in keys
            for line in _differences(f"{name}.{key}", here.get(key), there.get(key))
        ]
    return [f"{name} ({_short(here)} here, {_short(there)} there)"]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
