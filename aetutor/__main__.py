"""`python -m aetutor`: what this machine offers the course, and the command that mends what is wrong."""

import os
import sys


def main() -> int:
    """Prints the environment report, the data included.

    returns    : int         exit status: 0 if the course can run here, 1 if something must be mended
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    try:
        from aetutor import data, runtime  # here, since a missing torch or numpy is just what we are asked about
    except Exception as error:
        broken = (getattr(error, "name", None) or "torch torchvision numpy").partition(".")[0]
        mend = f"{sys.executable} -m pip install --force-reinstall {broken}"
        print(f"✘ The course does not start ({type(error).__name__}: {error})\n    mend it with:  {mend}")
        return 1
    report = runtime.report()
    chosen = os.path.abspath(os.path.expanduser(os.environ.get("AETUTOR_DATA", "")))
    found = set()
    for name in data.NAMES:
        try:
            folder = data.where(name)
            found.add(str(folder))
            report.facts[name] = str(folder) if folder else "not here; data.load downloads it"
            if name == "mnist":  # what the chapters need: read it, which checks every byte
                data.load(name)
        except data.DataError as error:
            report.facts[name] = "cannot be read"
            if error.mend not in dict(report.problems).values():  # a wrong AETUTOR_DATA is wrong for every dataset
                report.problems.append((f"{name}: {error}", error.mend or "see the message"))
        except Exception as error:  # a package that is missing or broken; in most cases reported already
            report.facts[name] = f"cannot be looked for ({type(error).__name__}: {error})"
            if not report.problems:
                report.problems.append((f"{name}: {error}", f"{sys.executable} -m pip install --upgrade aetutor"))
    if "AETUTOR_DATA" in report.facts and os.path.isdir(chosen) and chosen not in found:
        expected = os.path.join(chosen, "MNIST", "raw")
        report.facts["AETUTOR_DATA"] += f", which holds none of the datasets; expected for example {expected}"
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
