"""Files that belong together by their names: ``X_RGB.png`` and ``X_perfect_depth.tiff``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SEPARATORS = " _-."


@dataclass
class Frames:
    """The files of a folder's images, by what the names of an image's files share.

    Attributes:
        names: The modalities.
        explanation: How files are told apart, and what to do where that fails.
        files: For each image the files of each modality: one if all is well.
        alone: Files that belong to none of these images, each with its modality.
    """

    names: Sequence[str]
    explanation: str
    files: dict[str, dict[str, list[Path]]] = field(default_factory=dict)
    alone: dict[Path, str] = field(default_factory=dict)

    def add(self, key: str, name: str, path: Path) -> None:
        """Add a modality's file to an image."""
        self.files.setdefault(key, {}).setdefault(name, []).append(path)

    def complete(self, path: Path) -> tuple[str, dict[str, Path]]:
        """The image that a file belongs to: its name, and its file of each modality.

        Raises:
            ValueError: If it belongs to none, or a file is missing or ambiguous.
        """
        for key, files in self.files.items():
            if any(path == other for found in files.values() for other in found):
                return key.strip(_SEPARATORS), self._one_each(key)
        if path in self.alone:
            raise ValueError(self._lonely(path))
        raise ValueError(
            f'"{path}" is of no modality ({", ".join(self.names)}) by its name; {self.explanation}'
        )

    def all_complete(self) -> Iterator[tuple[str, dict[str, Path]]]:
        """All images, as in :meth:`complete`.

        Raises:
            ValueError: If any file is missing or ambiguous.
        """
        if self.alone:
            raise ValueError(self._lonely(next(iter(self.alone))))
        for key in self.files:
            yield key.strip(_SEPARATORS), self._one_each(key)

    def others(self, pictures: Iterable[Path]) -> list[Path]:
        """Those of the pictures that are of no modality."""
        known = {
            path for files in self.files.values() for found in files.values() for path in found
        }
        return [path for path in pictures if path not in known and path not in self.alone]

    @property
    def troubles(self) -> int:
        """Number of files without a partner and of images that are not complete."""
        whole = [
            all(len(files.get(name, [])) == 1 for name in self.names)
            for files in self.files.values()
        ]
        return len(self.alone) + whole.count(False)

    def _one_each(self, key: str) -> dict[str, Path]:
        files = self.files[key]
        for name in self.names:
            found = files.get(name, [])
            if len(found) == 1:
                continue
            others = ", ".join(f'"{path}"' for paths in files.values() for path in paths)
            if not found:
                raise ValueError(
                    f"there is no {name} picture to go with {others}; {self.explanation}"
                )
            raise ValueError(
                f'image "{key}" has {len(found)} pictures of {name}: '
                f"{', '.join(path.name for path in found)}; {self.explanation}"
            )
        return {name: files[name][0] for name in self.names}

    def _lonely(self, path: Path) -> str:
        wanted = " or ".join(name for name in self.names if name != self.alone[path])
        return f'there is no {wanted} picture to go with "{path}"; {self.explanation}'


class Naming:
    """Rule that tells modality and image by files' names: by their endings, or by patterns.

    Args:
        names: The modalities.
        patterns: For each a pattern such as ``"*_RGB.png"``; None for endings.
        may_have_patterns: Whether the user can give any; else messages do not mention them.

    Raises:
        ValueError: If a modality has no pattern or a pattern no modality, or it is not one name
            with one ``*``.
    """

    def __init__(
        self,
        names: Sequence[str],
        patterns: Mapping[str, str] | None,
        may_have_patterns: bool = True,
    ) -> None:
        self._names = names
        self._may_have_patterns = may_have_patterns
        self._patterns = None if patterns is None else _checked_patterns(names, patterns)

    @property
    def is_by_pattern(self) -> bool:
        """True if there are patterns."""
        return self._patterns is not None

    @property
    def explanation(self) -> str:
        """Text for messages: the rule that files are told apart by, and the remedy if it fails."""
        if self._patterns is not None:
            return f"files are told apart by the patterns {json.dumps(self._patterns)}"
        ends = " and ".join(f'"{name}"' for name in self._names)
        example = json.dumps({name: f"*_{name}.png" for name in self._names})
        patterns = f", or patterns say how they are told apart, such as {example}"
        return (
            f"names of files must begin alike and end in {ends} before the suffix"
            f"{patterns if self._may_have_patterns else ''}; or give a .npy file (C, H, W) for an "
            "image"
        )

    def base(self, path: Path) -> Path:
        """The folder that patterns are relative to, so that one of them may match a file."""
        for pattern in (self._patterns or {}).values():
            inside = Path(pattern).parent.parts
            if inside and path.parent.parts[-len(inside) :] == inside:
                return Path(*path.parent.parts[: -len(inside)])
        return path.parent

    def frames(self, folder: Path, pictures_in: Callable[[Path], list[Path]]) -> Frames:
        """The images of a folder, whose pictures ``pictures_in`` lists."""
        if self._patterns is None:
            by_name = self._by_ending(pictures_in(folder))
            # A modality whose files say more, as in "perfect_depth", is no good to start from.
            tries = [self._beginning_as(first, by_name) for first in self._names]
            return min(tries, key=lambda frames: frames.troubles)
        frames = Frames(self._names, self.explanation)
        for name, pattern in self._patterns.items():
            where = folder / Path(pattern).parent
            before, _, after = Path(pattern).name.partition("*")
            for path in pictures_in(where) if where.is_dir() else []:
                file_name = path.name
                if (
                    len(file_name) >= len(before) + len(after)
                    and file_name.startswith(before)
                    and file_name.endswith(after)
                ):
                    frames.add(file_name[len(before) : len(file_name) - len(after)], name, path)
        return frames

    def _by_ending(self, pictures: list[Path]) -> dict[str, list[tuple[str, Path]]]:
        """Files by modality, each with what its name begins with."""
        by_name: dict[str, list[tuple[str, Path]]] = {name: [] for name in self._names}
        for path in pictures:
            # "nir" before "ir", which is how it ends too.
            for name in sorted(self._names, key=len, reverse=True):
                if path.stem.lower().endswith(name.lower()):
                    by_name[name].append((path.stem[: len(path.stem) - len(name)], path))
                    break
        return by_name

    def _beginning_as(self, first: str, by_name: dict[str, list[tuple[str, Path]]]) -> Frames:
        """Group files: each goes with the longest beginning that a file of ``first`` has."""
        frames = Frames(self._names, self.explanation)
        for beginning, path in by_name[first]:
            frames.add(beginning, first, path)
        for name in self._names:
            for beginning, path in by_name[name] if name != first else []:
                key = _longest_key(beginning, frames.files)
                if key is None:
                    frames.alone[path] = name
                else:
                    frames.add(key, name, path)
        return frames


def _longest_key(beginning: str, keys: Mapping[str, object]) -> str | None:
    for length in range(len(beginning), -1, -1):
        if beginning[:length] in keys:
            return beginning[:length]
    return None


def _checked_patterns(names: Sequence[str], patterns: Mapping[str, str]) -> dict[str, str]:
    if set(patterns) != set(names):
        raise ValueError(
            f"patterns needs one for each modality ({', '.join(names)}); "
            f"got {', '.join(patterns) or 'none'}"
        )
    for name, pattern in patterns.items():
        if pattern.count("*") != 1 or "*" not in Path(pattern).name or Path(pattern).is_absolute():
            raise ValueError(
                f'the pattern of {name} must be a file\'s name with one "*" for what the files of '
                f'an image share, such as "*_{name}.png"; got "{pattern}"'
            )
    return {name: patterns[name] for name in names}
