"""pytest with nbval, and with patience: `python run_nbval.py --nbval-lax … FILE…`.

From the end of a cell to its last output, nbval gives a kernel five seconds. A busy machine may take longer, and the
cell, which has run by then, would be reported as failed. There is no option for it.
"""

import sys

import pytest


class Patience:
    def pytest_collection_modifyitems(self, items):
        for item in items:
            assert item.output_timeout  # or nbval calls it something else by now
            item.output_timeout = 60


sys.exit(pytest.main(sys.argv[1:], plugins=[Patience()]))
