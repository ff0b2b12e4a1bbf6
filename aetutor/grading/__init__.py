"""Grading that a teacher can trust: submissions repaired, run in a sandbox, scored by nbgrader. On a shell:
`python -m aetutor.grading COURSE`.
"""

from aetutor.grading.batch import Graded, grade
from aetutor.grading.copies import release
from aetutor.grading.course import GradingError, set_up
from aetutor.grading.frame import repair
from aetutor.grading.submission import Unreadable
from aetutor.grading.walls import Limits

__all__ = ["Graded", "GradingError", "Limits", "Unreadable", "grade", "release", "repair", "set_up"]
