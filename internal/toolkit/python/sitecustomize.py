# SPDX-License-Identifier: Apache-2.0
"""Python runs this at its start, as the toolkit's folder is on PYTHONPATH.

It puts the stand-ins for packages of AWS's images last on the module path,
where the packages themselves, if they are installed, come before them.
"""

import importlib.machinery
import os
import sys


def _stand_in():
    here = os.path.dirname(os.path.abspath(__file__))
    shims = os.path.join(here, "shims")
    if shims not in sys.path:
        sys.path.append(shims)
    # The environment's own sitecustomize, which this one hides.
    rest = [p for p in sys.path if p and os.path.abspath(p) != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", rest)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec
        spec.loader.exec_module(module_from_spec(spec))


_stand_in()
