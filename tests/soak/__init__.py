"""Trials by the hundred of what must never go wrong: ``make soak``."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # children are forked: no thread may run before that
