"""Many runs over a cluster of Ray's: each a task, or several with torch.distributed between them.

All write to one results folder, with the same locks and hashes as ``sslbench run``, so whatever
becomes of a node, its runs are taken up where they were, and none is done twice.
"""

from sslbench.cluster.driver import Cluster, joined, run_on

__all__ = ["Cluster", "joined", "run_on"]
