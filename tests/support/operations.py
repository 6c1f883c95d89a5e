"""Operations made for tests."""

from minidl.tape import Op


class Twice(Op):
    """A fused operation: y = 2 x, with a twin that says so."""

    fused = True

    def forward(self, x):
        return x * 2

    def gradient(self, g, y, x):
        return (2 * g,)

    def simple(self, x):
        return x + x


class Opaque(Op):
    """An operation without any rule."""

    advice = "look elsewhere"

    def forward(self, x):
        return x + 1
