"""What every test stands on: repeatable examples, and pictures without a screen."""

import os

from hypothesis import settings

os.environ["MPLBACKEND"] = "Agg"

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)  # pytest --hypothesis-profile=explore
settings.load_profile("ci")
