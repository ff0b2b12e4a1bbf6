"""The medians as bars, a panel for each network and batch size."""

import matplotlib

from aetutor.plots import COLOURS, STYLE, Picture
from benchmarks.trainers.names import LABELS
from benchmarks.trainers.verdict import Row


def draw(rows: list[Row], device: str) -> Picture:
    """Seconds an epoch of every trainer, with thin lines from its fastest to its slowest turn."""
    panels: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        panels.setdefault((row.model, row.batch), []).append(row)
    models, batches = (list(dict.fromkeys(which)) for which in zip(*panels, strict=True))
    title = f"Seconds an epoch of MNIST on {device}, and how many times that of train.fit"
    height = 0.7 + len(models) * (0.6 + 0.3 * max(map(len, panels.values())))
    with matplotlib.rc_context(STYLE):
        picture = Picture(figsize=(1.6 + 3.7 * len(batches), height), layout="constrained")
        picture.suptitle(title, fontsize=11, x=0.01, ha="left")
        grid = picture.subplots(len(models), len(batches), squeeze=False, sharey=True)
        for (model, batch), those in panels.items():
            axes = grid[models.index(model), batches.index(batch)]
            _bars(axes, those)
            axes.set_title(f"{model}, batch {batch}", loc="left")
        for axes in grid[-1]:
            axes.set_xlabel("seconds an epoch")
        grid[0, 0].invert_yaxis()  # once: the axes are shared
    told = "; ".join(f"{row.model}, batch {row.batch}, {LABELS[row.trainer]}: {row.seconds:.3g}" for row in rows)
    picture.alt = f"{title}. Bars: {told}."
    return picture


def _bars(axes, rows: list[Row]) -> None:
    spread = [[row.seconds - row.fastest for row in rows], [row.slowest - row.seconds for row in rows]]
    colours = [COLOURS[0] if row.trainer == "fit" else "#949494" for row in rows]  # 3 : 1 on white, lighter than ours
    places = range(len(rows))
    axes.barh(places, [row.seconds for row in rows], color=colours, height=0.7, xerr=spread, ecolor="#333333")
    for place, row in zip(places, rows, strict=True):
        times = "" if row.times_fit is None or row.trainer == "fit" else f", {row.times_fit:.2f} ×"
        axes.annotate(
            f"{row.seconds:.3g} s{times}", (row.slowest, place), (4, 0), textcoords="offset points", va="center", size=9
        )
    axes.set_yticks(places, [LABELS[row.trainer] for row in rows])
    axes.grid(False, axis="y")
    axes.set_xlim(0, 1.4 * max(row.slowest for row in rows))  # room for the numbers
