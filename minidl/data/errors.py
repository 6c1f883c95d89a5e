"""The one exception of the data loaders."""


class DataError(RuntimeError):
    """A file that is missing, broken or not the one that was asked for.

    The message is one sentence: the file, what came, what was expected, and what to do about it.
    """

    def __init__(self, file: object, came: str, expected: str, remedy: str):
        super().__init__(f"{file}: {came}, expected {expected}; {remedy}")
