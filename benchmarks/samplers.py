"""The table of chapter 06 over several seeds: which generator draws best, and how much of that is luck of the start.

Usage: python benchmarks/samplers.py [--seeds 0 1 2 3 4]

Executes notebooks/06_adversarial.ipynb, as it is, once for each seed, and reads its table. Prints the median of each
number with the smallest and the largest, and writes benchmarks/results/samplers-DEVICE.json. On a GPU the notebook
trains longer by itself, and so does this.
"""

import argparse
import json
import os
import re
import statistics
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient

from aetutor import runtime

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ("Fréchet", "precision", "recall", "sharpness", "seconds", "parameters")


def table(seed: int) -> dict[str, dict[str, float]]:
    os.environ["AETUTOR_SEED"] = str(seed)  # the kernel inherits it
    notebook = nbformat.read(ROOT / "notebooks/06_adversarial.ipynb", 4)
    # A claim that fails under a seed is a finding here, not a reason to stop.
    NotebookClient(
        notebook, timeout=3600, allow_errors=True, resources={"metadata": {"path": str(ROOT / "notebooks")}}
    ).execute()
    printed = [o.text for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream"]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                print(f"seed {seed}: {output.evalue}")
    (text,) = [text for text in printed if "parameters" in text and "Fréchet" in text]
    found = {}
    for line in text.splitlines()[1:]:
        if line.strip():
            name, *numbers = re.split(r"\s{2,}", line.strip())
            values = [float(n.rstrip("%").replace(",", "")) for n in numbers]
            found[name] = dict(zip(COLUMNS, values, strict=False))  # the floor has no seconds and no parameters
    return found


def main() -> None:
    form = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    seeds = form.parse_args().seeds
    by_seed = {seed: table(seed) for seed in seeds}
    print(f"{torch.get_num_threads()} threads, {runtime.device()}, torch {torch.__version__}; seeds {seeds}")
    print("| generator | " + " | ".join(COLUMNS) + " |\n|---" + "|---" * len(COLUMNS) + "|")
    for name in by_seed[seeds[0]]:
        cells = []
        for column in COLUMNS:
            values = [by_seed[seed][name][column] for seed in seeds if column in by_seed[seed].get(name, {})]
            if not values:
                cells.append("")
            elif min(values) == max(values):
                cells.append(f"{values[0]:,g}")
            else:
                cells.append(f"{statistics.median(values):g} ({min(values):g}–{max(values):g})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    where = ROOT / f"benchmarks/results/samplers-{runtime.device().type}.json"
    where.write_text(json.dumps({"torch": torch.__version__, "by seed": by_seed}, ensure_ascii=False, indent=1))
    print(f"written to {where.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
