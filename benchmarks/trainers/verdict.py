"""Medians over the turns, as rows of a table, and the claims they are held to."""

from dataclasses import dataclass
from statistics import median

from benchmarks.trainers.names import LABELS

AS_GOOD = 0.05  # how far a test error may be from fit's
# device -> (model, batch) -> how many times as fast as the plain loop fit has to be
TIMES_PLAIN = {
    "cpu": {("dense", 64): 3, ("dense", 256): 3},
    "cuda": {("dense", 64): 20, ("dense", 256): 80, ("conv", 64): 15, ("conv", 256): 30},
}
SHARE = {"cpu": {("dense", 256): 0.6}}  # of the large-matrix rate that fit has to reach


@dataclass(frozen=True)
class Row:
    """Medians of one trainer on one network at one batch size."""

    model: str
    batch: int
    trainer: str
    seconds: float  # an epoch
    fastest: float
    slowest: float
    images_per_second: float
    times_fit: float | None  # its time over fit's, turn by turn
    memory: float  # bytes
    share: float  # of the machine's large-matrix rate
    error: float  # per pixel, on the test images
    error_to_fit: float | None


@dataclass(frozen=True)
class Claim:
    """A sentence, and whether it holds; None: not measured this time."""

    sentence: str
    holds: bool | None
    found: str

    def __str__(self) -> str:
        verdict = {True: "holds", False: "DOES NOT HOLD", None: "not measured"}[self.holds]
        return f"{verdict:13}  {self.sentence}: {self.found}"


def rows(measured: dict) -> list[Row]:
    """One row for each network, batch size and trainer, in the order they were measured in."""
    turns: dict[tuple, list[dict]] = {}
    for run in measured["runs"]:
        turns.setdefault((run["model"], run["batch"], run["trainer"]), []).append(run)
    return [_row(key, runs, turns.get((*key[:2], "fit")), max(measured["peaks"])) for key, runs in turns.items()]


def _row(key: tuple[str, int, str], runs: list[dict], fits: list[dict] | None, peak: float) -> Row:
    seconds = [run["seconds"] / run["epochs"] for run in runs]
    images_per_second = runs[0]["images"] / median(seconds)

    def to_fit(what: str) -> float | None:  # within a turn both had the same machine, and the same first weights
        return median(run[what] / fit[what] for run, fit in zip(runs, fits, strict=True)) if fits else None

    return Row(
        *key,
        seconds=median(seconds),
        fastest=min(seconds),
        slowest=max(seconds),
        images_per_second=images_per_second,
        times_fit=to_fit("seconds"),
        memory=median(run["memory"] for run in runs),
        share=runs[0]["work"] * images_per_second / peak,
        error=median(run["error"] for run in runs),
        error_to_fit=to_fit("error"),
    )


def claims(rows: list[Row], device: str) -> list[Claim]:
    """What is claimed of fit on this kind of device."""
    by = {(row.model, row.batch, row.trainer): row for row in rows}
    rivals = [row for row in rows if row.trainer != "fit" and row.times_fit is not None]
    found = []
    for (model, batch), times in TIMES_PLAIN[device].items():
        plain = by.get((model, batch, "plain"))
        ratio = plain and plain.times_fit
        sentence = f"fit is at least {times} times as fast as the plain loop, {model}, batch {batch}"
        found.append(_claim(sentence, ratio, lambda r, times=times: r >= times, "{:.2f} times"))
    # The plain loop on tensors is in the table too, but it is no library that one would use instead: it is what fit is,
    # without the rest.
    sentence = "fit is ahead of Lightning, skorch and Keras in every row"
    libraries = sorted((row for row in rivals if not row.trainer.startswith("plain")), key=lambda row: row.times_fit)
    found.append(_of_all(sentence, libraries, "times_fit", lambda r: r > 1))
    for (model, batch), least in SHARE.get(device, {}).items():
        fit = by.get((model, batch, "fit"))
        sentence = f"fit reaches {least:.0%} of the large-matrix rate, {model}, batch {batch}"
        found.append(_claim(sentence, fit and fit.share, lambda s, least=least: s >= least, "{:.1%}"))
    sentence = f"test errors are within {AS_GOOD:.0%} of fit's"
    furthest = sorted(rivals, key=lambda row: -abs(row.error_to_fit - 1))
    found.append(_of_all(sentence, furthest, "error_to_fit", lambda r: abs(r - 1) <= AS_GOOD))
    return found


def _claim(sentence: str, number: float | None, holds, form: str) -> Claim:
    return Claim(sentence, None, "–") if number is None else Claim(sentence, holds(number), form.format(number))


def _of_all(sentence: str, rows: list[Row], what: str, holds) -> Claim:
    """Names the rows for which it does not hold, or else the one that comes closest, which is to be the first."""
    if not rows:
        return Claim(sentence, None, "–")
    wrong = [row for row in rows if not holds(getattr(row, what))]
    named = (
        f"{getattr(r, what):.3f} × fit's: {LABELS[r.trainer]}, {r.model}, batch {r.batch}" for r in wrong or rows[:1]
    )
    return Claim(sentence, not wrong, "; ".join(named))


def table(rows: list[Row]) -> str:
    """All rows, aligned."""
    head = ("model", "batch", "trainer", "s/epoch", "images/s", "× fit's time", "MB", "of peak", "test error")
    cells = [head] + [
        (
            row.model,
            str(row.batch),
            LABELS[row.trainer],
            f"{row.seconds:.3f}",
            f"{row.images_per_second:,.0f}",
            "–" if row.times_fit is None else f"{row.times_fit:.2f}",
            f"{row.memory / 1e6:.0f}",
            f"{row.share:.1%}",
            f"{row.error:.5f}",
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(c.ljust(w) if i in (0, 2) else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in lines)
