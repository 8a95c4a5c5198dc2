# SPDX-License-Identifier: Apache-2.0
import gc
import subprocess
import sys

from mmcadformer.utils.garbage import no_collection

COMMAND = """
import gc
from mmcadformer.utils.garbage import settle
settle()
frozen = gc.get_freeze_count()
cycle = []
cycle.append(cycle)
del cycle
assert gc.collect() == 1, 'what comes later is collected'
more = [[] for _ in range(1000)]
settle()
print(frozen, gc.get_freeze_count(), gc.isenabled())
"""


def test_collection_goes_on_as_it_was():
    with no_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_there_is_kept_once():
    done = subprocess.run(
        [sys.executable, '-c', COMMAND], capture_output=True, text=True, check=True
    )
    first, second, enabled = done.stdout.split()[-3:]
    assert int(first) > 100_000  # all that the package imports
    assert int(second) < int(first) + 500 and enabled == 'True'
