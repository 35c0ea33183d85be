import time

import jax.numpy as jnp
import pytest

from ae_jax import metrics
from ae_jax.core import InputError
from ae_jax.metrics import timing


def test_the_fastest_call_counts_and_the_one_that_compiles_does_not(monkeypatch):
    calls = []
    clock = iter([10.0, 13.0, 20.0, 22.0, 30.0, 36.0])  # of calls that take 3, 2 and 6 s
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    found = metrics.seconds(lambda x: calls.append(x) or x, jnp.zeros(2), repeats=3)
    assert found == 2
    assert len(calls) == 4


def test_a_time_is_one():
    assert 0.02 <= metrics.seconds(time.sleep, 0.02, repeats=2) < 1
    with pytest.raises(InputError, match="at least 1"):
        metrics.seconds(time.sleep, 0.02, repeats=0)
