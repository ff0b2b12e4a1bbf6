"""`python -m aetutor`: what this machine offers the course, and the command that mends what is wrong."""

import sys

from aetutor import data, runtime


def main() -> int:
    """Prints the environment report, the data included.

    returns    : int         exit status: 0 if the course can run here, 1 if something must be mended
    raises     : nothing
    source     : this course
    taught in  : notebooks/00_start_here.ipynb
    """
    report = runtime.report()
    for name in data.NAMES:
        try:
            folder = data.where(name)
            report.facts[name] = str(folder) if folder else "not here; data.load downloads it"
            if name == "mnist":  # what the chapters need: read it, which checks every byte
                data.load(name)
        except data.DataError as error:
            report.facts[name] = "cannot be read"
            if error.mend not in dict(report.problems).values():  # a wrong AETUTOR_DATA is wrong for every dataset
                report.problems.append((f"{name}: {error}", error.mend or "see the message"))
    print(report)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
