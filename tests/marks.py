"""Which tests run with --full alone."""

import pytest


def rare(*values, id=None):
    """A row of parameters for --full: it takes long, and its siblings notice what it does."""
    return pytest.param(*values, marks=pytest.mark.full, id=id)
