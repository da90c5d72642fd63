"""The embedded data: pictures computed from a seed, so that nothing needs to be downloaded.

An image depends on (kind, seed, split, position, size) and ``VERSION``, on nothing else: a smaller
set is the beginning of a larger one. Machines may differ by one grey level where their sines do.
"""

VERSION = 1  # raised by hand when any picture changes; part of the data's digest
