"""``python -m spexjax.models.cli``."""

import sys

from spexjax.models.cli.main import main

sys.exit(main())
