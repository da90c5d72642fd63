"""Which kernels faiss is told to use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sslbench.nn.faiss_library import kernels


def processor(vendor, flags):
    core = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel\t\t: 207\nflags\t\t: {flags}\n\n"
    return core * 2


@pytest.mark.parametrize(
    ("vendor", "flags", "name"),
    [
        ("GenuineIntel", "fpu sse2 avx avx2 avx512f avx512bw", "SkylakeX"),
        ("GenuineIntel", "fpu sse2 avx avx2", "Haswell"),
        ("GenuineIntel", "fpu sse2 avx", None),
        ("AuthenticAMD", "fpu sse2 avx avx2 avx512bw", "SkylakeX"),
        ("AuthenticAMD", "fpu sse2 avx avx2", "Haswell"),
        ("CentaurHauls", "fpu sse2 avx avx2 avx512bw", None),
        ("GenuineIntel", "fpu navx2", None),
    ],
)
def test_a_processor_gets_the_kernels_that_its_flags_allow(vendor, flags, name):
    assert kernels(processor(vendor, flags)) == name


def test_a_processor_of_another_kind_is_left_alone():
    assert kernels("") is None
    assert kernels("processor: 0\nFeatures: fp asimd") is None


def loaded(code, **environment):
    """The kernels of the libraries in a fresh process, and what the environment holds then."""
    ask = (
        f"{code}\nimport os\nfrom threadpoolctl import threadpool_info\n"
        "own = [i['architecture'] for i in threadpool_info() if 'faiss' in i['filepath']"
        " and i['user_api'] == 'blas']\n"
        "print(*own, os.environ.get('OPENBLAS_CORETYPE'))"
    )
    environ = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"} | environment
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, env=environ, check=True
    )
    return done.stdout.split()


def test_faiss_has_the_kernels_it_was_told_and_nobody_else_is_told():
    wanted = kernels(Path("/proc/cpuinfo").read_text())
    found = loaded("import sslbench.nn.clustering")
    assert found[1:] == ["None"]
    assert wanted is None or found[0] == wanted


def test_what_a_user_has_set_stands():
    assert loaded("import sslbench.nn.search", OPENBLAS_CORETYPE="Haswell")[1:] == ["Haswell"]
