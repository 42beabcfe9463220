# SPDX-License-Identifier: Apache-2.0
"""python -m sagebrush_toolkit.serve"""

import sys

from sagebrush_toolkit.serve.server import main

sys.exit(main())
