"""The type of the input is the type of every signal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import MAKERS, cases
from support.passes import explanations, gradients


def assert_all_float32(found):
    types = {name: v.dtype for name, v in found.items() if not isinstance(v, str)}
    assert {name: t for name, t in types.items() if t != np.float32} == {}


@pytest.mark.parametrize("name", sorted(MAKERS))
@given(data=st.data(), seed=st.integers(0, 1000))
def test_float32_stays_float32_in_values_gradients_and_second_derivatives(name, data, seed):
    case = data.draw(cases(name)).to(lambda a: a, np.float32)
    rng = np.random.default_rng(seed)
    shape = case(*case.arrays).shape
    weights = [np.asarray(rng.normal(size=a.shape), np.float32) for a in case.arrays]
    assert_all_float32(gradients(case, np.asarray(rng.normal(size=shape), np.float32), weights))


@pytest.mark.parametrize("name", sorted(MAKERS))
@given(data=st.data())
def test_float32_stays_float32_in_relevance_and_multipliers(name, data):
    assert_all_float32(explanations(data.draw(cases(name)).to(lambda a: a, np.float32)))
