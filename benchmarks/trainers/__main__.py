"""`train.fit` beside the trainers that a reader would otherwise use: speed, memory, and the same error at the end.

Usage: make bench, or python -m benchmarks.trainers [--models dense --batches 256 --trainers fit plain …]

What is compared, and on what terms:
* The same network, images, batch, epochs, Adam, learning rate (warm-up, then cosine, step by step) and loss for all
  (terms.py); each scores 5 000 validation images after every epoch, as fit does. A row counts only if the test errors
  agree within 5 %.
* Each trainer has the settings of its documentation, less what costs time: no logger, checkpoint, bar or summary
  (rivals.py). "tensors" and "array": the images are handed over as one float tensor in memory, and Adam is fused.
  skorch and Keras appear in that form only, which is also their documentation's and their fastest.
* All flush subnormal floats to zero, as fit does. Few tutorials do, and training can be several times slower without.
* A time is that of the whole call that trains, divided by the epochs, after a first short call in the same process:
  what a process does once (imports, thread pools, loading kernels) is counted for nobody, what each call does anew
  (set-up, validation, capturing a CUDA graph) for everybody. Reading the images is not counted.
* Each measurement is a process of its own, so memory is that trainer's (Python and torch included) and no setting
  leaks. Trainers take turns, so that a busy spell of the machine hits all; a ratio is taken within a turn. Medians.
* Share of peak: 2 operations per multiplication and addition, three times those of a forward pass (6 × weights ×
  images, for a dense network), against the fastest large float32 matrix product of all turns on the same threads.
"""

import argparse
import json
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from benchmarks.trainers import chart, turns, verdict
from benchmarks.trainers.names import EPOCHS, LABELS, PACKAGES

RESULTS = Path(__file__).resolve().parents[1] / "results"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.trainers",
        description="train.fit beside other trainers. All of it takes about 25 minutes on two CPU cores.",
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    add("--batches", nargs="+", type=int, default=[64, 256], metavar="N")
    add("--trainers", nargs="+", choices=LABELS, default=list(LABELS))
    add("--repeats", type=int, default=3, metavar="N")
    add("--epochs", type=int, metavar="N", help=f"by default {EPOCHS}")
    add("--images", type=int, default=55_000, metavar="N", help="training images; fewer for a quick trial")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="auto: the CPU, then a GPU if there is one")
    add("--out", type=Path, default=RESULTS, metavar="FOLDER", help="for trainers-DEVICE.json and .png")
    add("--one", nargs=4, metavar=("TRAINER", "MODEL", "BATCH", "DEVICE"), help="one measurement, printed as JSON")
    add("--peak", metavar="DEVICE", help="the machine and its matrix products, printed as JSON")
    add("--seed", type=int, default=0, metavar="N", help="of --one: first weights and order of images")
    return parser.parse_args()


def main() -> int:
    asked = options()
    if asked.one or asked.peak:
        from benchmarks.trainers import worker  # torch comes in here: the process that waits stays small

        print(json.dumps(worker.peak(asked.peak) if asked.peak else worker.one(asked)))
        return 0
    missing = {PACKAGES[name] for name in asked.trainers if name in PACKAGES and not find_spec(PACKAGES[name])}
    if missing:
        print(f"Not installed: {', '.join(sorted(missing))}. To mend it: pip install -e '.[bench]'", file=sys.stderr)
        return 2
    failed = False
    for device in turns.devices(asked.device):
        measured = turns.measure(asked, device)
        rows = verdict.rows(measured)
        claims = verdict.claims(rows, device)
        print("", verdict.table(rows), "", *claims, "", sep="\n")
        for path in keep(asked.out / f"trainers-{device}", measured, rows, claims):
            print(f"Kept in {path}", flush=True)
        failed |= any(claim.holds is False for claim in claims)
    return int(failed)


def keep(stem: Path, measured: dict, rows: list[verdict.Row], claims: list[verdict.Claim]) -> list[Path]:
    """All numbers, single measurements too, and a picture of the medians."""
    numbers, picture = stem.with_suffix(".json"), stem.with_suffix(".png")
    stem.parent.mkdir(parents=True, exist_ok=True)
    found = {"rows": [asdict(row) for row in rows], "claims": [asdict(claim) for claim in claims]}
    numbers.write_text(json.dumps(measured | found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    picture.write_bytes(chart.draw(rows, measured["machine"]["device"]).png())
    return [numbers, picture]


if __name__ == "__main__":
    sys.exit(main())
