"""fsmf and its peers side by side.

One thread count for every contender, read by the libraries when they load: set here, before any of them.
"""

import os

THREADS = os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count())
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = THREADS
