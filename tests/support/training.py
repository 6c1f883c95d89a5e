"""Two trainings that must have come to the same end."""


def assert_same_bits(a, b):
    """(model, optimiser, history) of both: every array to the last bit, every number of the history."""
    for one, two in zip(a[:2], b[:2], strict=True):
        one, two = one.state_dict(), two.state_dict()
        assert one.keys() == two.keys() and all((one[k] == two[k]).all() for k in one)
    assert a[2] == b[2]
