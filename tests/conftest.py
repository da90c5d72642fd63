"""One thread per test process: the same bits everywhere, and no fight for cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read by torch and faiss when they are first imported
os.environ.setdefault("SSLBENCH_CACHE", "")

import torch

torch.set_num_threads(1)
