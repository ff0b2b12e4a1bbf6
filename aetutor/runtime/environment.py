"""What a chapter starts with, and a report on what is here, what is wrong, and what mends it."""

import importlib
import importlib.metadata
import os
import platform
import re
import sys
from dataclasses import dataclass
from html import escape

import torch

from aetutor.runtime import cells
from aetutor.runtime.machine import cpus, device, memory
from aetutor.runtime.streams import seed

# Where what is imported has another name than what is installed.
MODULES = {
    "ipython": "IPython",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pywavelets": "pywt",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}


def start(chapter: str) -> str:
    """What a chapter's set-up cell ends with: torch's global generator follows the chapter's own stream from here on.

    New networks draw their first weights from that generator, so AETUTOR_SEED changes them too. In a notebook, from
    here on a NameError is followed by how to run the cells above, which is what is missing most often, and memory that
    a cell no longer needs goes back to the system (`trim`).

    chapter    : str         the notebook's name, such as "02_dense_autoencoder"
    returns    : str         one line: versions, device, threads and seed
    raises     : ValueError  if AETUTOR_SEED is set to something that is no whole number
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    torch.manual_seed(seed(chapter))
    # A container often shows all cores of its host and grants one: more threads than cores wait for each other.
    torch.set_num_threads(min(torch.get_num_threads(), cpus()))
    cells.follow()
    course = os.environ.get("AETUTOR_SEED", "0").strip() or "0"
    python, here = platform.python_version(), device().type
    return f"Python {python}, torch {torch.__version__}, {here}, {_threads()}, AETUTOR_SEED {course}"


def _threads() -> str:
    count = min(torch.get_num_threads(), cpus())
    return f"{count} thread{'s' * (count > 1)}"


@dataclass(frozen=True)
class Report:
    """What `report` found: lines to read, and for each thing that is wrong the command that mends it.

    facts      : dict        name -> text
    problems   : list        (what is wrong, the command that mends it)
    returns    : Report      prints as aligned text; an HTML table in a notebook
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """

    facts: dict[str, str]
    problems: list[tuple[str, str]]

    def __str__(self) -> str:
        width = max(map(len, self.facts))
        lines = [f"{name:<{width}}  {text}" for name, text in self.facts.items()]
        lines += [""] + [f"✘ {wrong}\n    mend it with:  {mend}" for wrong, mend in self.problems]
        if not self.problems:
            lines += ["✔ Everything the course needs is here."]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cells = [*self.facts.items(), *((f"✘ {wrong}", f"mend it with: {mend}") for wrong, mend in self.problems)]
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in cells
        )
        foot = "" if self.problems else "<p>✔ Everything the course needs is here.</p>"
        return f"<table><tbody>{rows}</tbody></table>{foot}"


def report() -> Report:
    """Versions, device, memory, threads and seed, and what is wrong with them.

    returns    : Report
    raises     : nothing     what is wrong is reported, with the command that mends it
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    facts = {"Python": f"{platform.python_version()} on {platform.system()} {platform.machine()}"}
    problems = _packages(facts)
    here = device()
    facts["device"] = str(here)
    if here.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        facts["device"] += f": {torch.cuda.get_device_name()}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    facts["CPU cores"] = f"{cpus()}, torch uses {_threads()}"
    try:
        size = memory()
        facts["memory"] = f"{size / 1e9:.1f} GB"
        if size < 1.5e9:
            problems.append((f"{size / 1e9:.1f} GB of memory; a chapter needs 1.5", "close other programs or kernels"))
    except Exception:  # without psutil, which stands among the problems already
        facts["memory"] = "unknown"
    facts["AETUTOR_SEED"] = os.environ.get("AETUTOR_SEED", "not set, so 0")
    if os.environ.get("AETUTOR_DATA"):
        facts["AETUTOR_DATA"] = os.environ["AETUTOR_DATA"]
    try:
        seed("report")
    except ValueError as error:
        problems.append((str(error), "unset AETUTOR_SEED"))
    return Report(facts, problems)


# --- Parts ------------------------------------------------------------------------------------------------------


def _packages(facts: dict[str, str]) -> list[tuple[str, str]]:
    """Notes the version of each package that the course needs; returns what is wrong with them."""
    pip, problems = f"{sys.executable} -m pip install", []
    try:
        needed = [line for line in importlib.metadata.requires("aetutor") or [] if "extra ==" not in line]
    except importlib.metadata.PackageNotFoundError:
        return [("aetutor itself is not installed", f"{pip} -e . in the course's folder")]
    for line in needed:
        package, floor = re.match(r"([\w.-]+)[^\d]*([\d.]*)", line).groups()
        # The two hold compiled code made for each other, so they come together or not at all.
        again = "--force-reinstall " + ("torch torchvision" if package in ("torch", "torchvision") else package)
        try:
            facts[package] = importlib.metadata.version(package)
            importlib.import_module(MODULES.get(package, package))
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "missing"
            problems.append((f"{package} is not installed", f'{pip} "{line}"'))
        except Exception as error:  # whatever a broken package may raise
            problems.append((f"{package} does not import ({type(error).__name__}: {error})", f"{pip} {again}"))
        else:
            if _version(facts[package]) < _version(floor):
                wrong = f"{package} is {facts[package]}, and the course needs {floor} or newer"
                problems.append((wrong, f'{pip} --upgrade "{line}"'))
    return problems


def _version(text: str) -> list[int]:
    numbers = [int(number) for number in re.findall(r"\d+", text.partition("+")[0])]  # without a build such as +cu128
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
