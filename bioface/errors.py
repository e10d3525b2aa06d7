"""The errors a person is meant to read: one line that names the file or value and what to do."""


class BiofaceError(Exception):
    """Something the user can put right; the message is the single line that the commands print."""


class InputError(BiofaceError, ValueError):
    """A value, image, dataset or weight file that cannot be used as given."""


class MissingDependencyError(BiofaceError, ImportError):
    """An optional part (`render`, `train`, `app`, `cluster`) is not installed."""


def install_advice(extra: str) -> str:
    """How an optional part gets installed: from a checkout, for no package index has it."""
    return f"pip install '.[{extra}]' in a checkout of bioface"
