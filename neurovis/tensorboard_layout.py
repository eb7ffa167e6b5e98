"""Additions to TensorBoard's data: descriptions of tags, chart layouts and hyperparameters.

Only torch's own SummaryWriter is written to; other loggers have no room for it and are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout

#: The plugins that show what has a description.
Kind = Literal["images", "scalars", "histograms"]
#: Tags of scalars by the title of their chart, by the category that the chart stands in; a ``*`` in
#: a tag stands for anything, so that runs with other layers have the same chart.
Charts = Mapping[str, Mapping[str, Iterable[str]]]

#: TensorBoard's own tag of a layout.
_LAYOUT_TAG = "custom_scalars__config__"


def tensorboard_method(logger: object, name: str) -> Callable[..., object] | None:
    """A method of a TensorBoard-like logger's ``experiment``; None if it has no such method."""
    method = getattr(getattr(logger, "experiment", None), name, None)
    return method if callable(method) else None


def describe(
    loggers: Iterable[object], kind: Kind, descriptions: Mapping[str, str], step: int
) -> None:
    """Say what tags mean: TensorBoard shows it behind the icon beside a tag's name.

    The name is given, too, without the first part of the tag, over which it stands anyway: a long
    name leaves no room for the icon. Only the first event of a tag is asked for its description, so
    this is written before the data. It is an event by itself, which both of TensorBoard's ways of
    reading take; a description in an event with data of torch's kind is lost by the faster one.

    Args:
        loggers: As in ``trainer.loggers``.
        kind: What there is under the tags.
        descriptions: Markdown by tag.
        step: Step of the data that follow.
    """
    for writer in _writers(loggers) if descriptions else ():
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

        plugin = SummaryMetadata.PluginData(plugin_name=kind)
        values = [
            Summary.Value(
                tag=tag,
                metadata=SummaryMetadata(
                    display_name=tag.partition("/")[2],
                    summary_description=text,
                    plugin_data=plugin,
                ),
            )
            for tag, text in descriptions.items()
        ]
        writer._get_file_writer().add_summary(Summary(value=values), step)


def arrange(loggers: Iterable[object], charts: Charts) -> None:
    """Add charts to a run's page of Custom Scalars.

    TensorBoard shows the last layout that a run has written. What is in the run's folder already is
    therefore kept, and written again with the new charts after it: other charts of this kind, and a
    layout of the user's (``add_custom_scalars``) that was there before. A chart that is there
    under the same title takes up the tags that it does not have.

    Args:
        loggers: As in ``trainer.loggers``.
        charts: Tags by category and title.
    """
    for writer in _writers(loggers) if any(charts.values()) else ():
        from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
        from torch.utils.tensorboard.summary import custom_scalars

        writer.flush()
        before = _layout_of(Path(writer.log_dir))
        layout = Layout.FromString(before)
        _add(layout, charts)
        if layout.SerializeToString() == before:
            continue
        summary = custom_scalars({})
        summary.value[0].tensor.string_val[0] = layout.SerializeToString()
        writer._get_file_writer().add_summary(summary)


def log_hyperparameters(
    loggers: Iterable[object],
    values: Mapping[str, bool | int | float | str],
    metrics: Mapping[str, float],
    step: int,
    later: Iterable[str] = (),
) -> None:
    """Log a run's hyperparameters with its metrics, for TensorBoard's page of HParams.

    Args:
        loggers: As in ``trainer.loggers``; those that do not write for TensorBoard are left alone.
        values: By name.
        metrics: By tag; logged as scalars, too. Without any, nothing is logged, since Lightning
            would put a metric of its own in their place.
        step: Step of the metrics.
        later: Tags of metrics that may be logged as scalars later, and have a column all the same.
    """
    for logger in loggers if metrics else ():
        log = getattr(logger, "log_hyperparams", None)
        writers = list(_writers([logger]))
        if callable(log) and writers:
            from torch.utils.tensorboard.summary import hparams

            # The first event of this kind says which columns there are.
            columns, *_ = hparams(dict(values), dict.fromkeys([*metrics, *later], 0.0))
            writers[0]._get_file_writer().add_summary(columns, step)
            log(dict(values), dict(metrics), step=step)


def _writers(loggers: Iterable[object]) -> Iterator[Any]:
    """The SummaryWriters of the loggers that have one.

    Told by its name: to import it takes a second, and where there is one it has been imported.
    """
    for logger in loggers:
        experiment = getattr(logger, "experiment", None)
        # A command's logger has a stand-in until something is logged, which is now.
        experiment = getattr(experiment, "made", experiment)
        names = {f"{kind.__module__}.{kind.__name__}" for kind in type(experiment).__mro__}
        if "torch.utils.tensorboard.writer.SummaryWriter" in names:
            yield experiment


def _layout_of(folder: Path) -> bytes:
    """The last layout in a folder's event files; empty if there is none, or no such folder here."""
    for path in sorted(folder.glob("*tfevents*"), reverse=True):
        try:
            layouts = list(_layouts_in(path)) if _mentions(path, _LAYOUT_TAG.encode()) else []
        except Exception:  # A file that is damaged raises anything; its layout is made again.
            continue
        if layouts:
            return layouts[-1]
    return b""


def _mentions(path: Path, text: bytes) -> bool:
    """True if a file contains these bytes; much faster than reading its events."""
    if not path.stat().st_size:
        return False
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return content.find(text) >= 0


def _layouts_in(path: Path) -> Iterator[bytes]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            if value.tag == _LAYOUT_TAG:
                yield make_ndarray(value.tensor).item()


def _add(layout: Layout, charts: Charts) -> None:
    """Add charts to a layout, and tags to charts that it has."""
    for category, titled in charts.items():
        for title, tags in titled.items():
            chart = _titled(_titled(layout.category, category).chart, title)
            patterns = [_pattern(tag) for tag in tags]
            there = set(chart.multiline.tag)
            chart.multiline.tag.extend(one for one in patterns if one not in there)


def _pattern(tag: str) -> str:
    """The regular expression of a tag, and of the same tag behind a logger's prefix."""
    parts = ".*".join(re.escape(part) for part in tag.split("*"))
    return f"(?:.*-)?{parts}$"


def _titled(parts: Any, title: str) -> Any:
    """The part with a title, which is added if there is none."""
    found: Category | Chart | None = next((part for part in parts if part.title == title), None)
    return parts.add(title=title) if found is None else found
