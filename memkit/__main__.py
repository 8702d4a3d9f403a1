"""``python -m memkit`` is ``memkit``."""

import sys

from memkit.cli import main

sys.exit(main())
