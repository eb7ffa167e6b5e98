"""Rankings by the names that a command is given, or the import paths of custom ones."""

from __future__ import annotations

from collections.abc import Iterable

from neurovis.models.import_paths import current_directory_importable, import_by_path
from neurovis.tuning.rankings import AnyRanking, Ranking, resolve_rankings


def chosen_rankings(names: str | Iterable[str]) -> list[AnyRanking]:
    """The rankings of these names, each once.

    Args:
        names: Such as ``orientation``, or ``mypackage.MyRanking``, a class or an instance.

    Raises:
        ValueError: If there is no such ranking, or what is named is none.
    """
    # In a config, a single name need not be a list.
    names = [names] if isinstance(names, str) else names
    listed = list(names) if isinstance(names, Iterable) else [names]
    if not all(isinstance(name, str) for name in listed):
        raise ValueError(f"by must be names of rankings, such as orientation; got {names!r}")
    return resolve_rankings([_imported(name) if "." in name else name for name in listed])


def _imported(path: str) -> AnyRanking:
    with current_directory_importable():
        found = import_by_path(path, what="ranking", example="mypackage.MyRanking")
    if isinstance(found, type) and issubclass(found, Ranking):
        found = found()
    if not isinstance(found, Ranking):
        raise ValueError(
            f'"{path}" is no ranking: make it a subclass of GratingRanking, ImageRanking or '
            "WeightRanking of neurovis.tuning.rankings"
        )
    return found
