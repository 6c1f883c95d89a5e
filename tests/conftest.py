"""Settings of the whole suite: one BLAS thread, no window for figures, the two hypothesis profiles."""

import os

# Before NumPy is imported for the first time: another number of BLAS threads sums in another order.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ["MPLBACKEND"] = "Agg"

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

# The same 25 examples each time, so that a red suite is red for everybody ...
settings.register_profile("default", max_examples=25, derandomize=True, deadline=None, print_blob=True)
# ... and 500 new ones for `make fuzz`.
settings.register_profile("fuzz", max_examples=500, derandomize=False, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", params=["numpy", "standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    """Every array module in turn: NumPy, the stand-in for CuPy, CuPy where there is a device."""
    import support.standin  # noqa: F401 - registers itself

    from minidl import backend

    try:
        return backend.load(request.param)
    except backend.BackendError as error:
        pytest.skip(str(error))
