"""The values that machines' numbers may take: the ends of what makes sense, and what is beyond."""

import optax
import pytest

from ae_jax import methods
from ae_jax.core import InputError
from ae_jax.methods import boltzmann
from ae_jax.training.lanes import grouped

WEIGHT = ((0, 1e-8, 1e4), (-1e-8, -1))
LEARNING_RATE = ((1e-8, 1e4), (0, -0.1))
RATE = ((0, 0.99), (-0.01, 1, 1.5))
MEAN = ((1e-6, 0.999), (0, 1, -0.1, 7))
RBM = {
    "learning_rate": LEARNING_RATE,
    "weight_decay": WEIGHT,
    "sparsity_weight": WEIGHT,
    "sparsity_target": MEAN,
}


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        (methods.rbm(2), {**RBM, "momentum": RATE}),
        (
            methods.rbm(2, visible=boltzmann.gaussian(), optimizer=optax.identity()),
            {**RBM, "variance_rate": WEIGHT},
        ),
        (
            methods.rbm(2, estimator=boltzmann.fast_persistent()),
            {**RBM, "momentum": RATE, "fast_learning_rate": WEIGHT},
        ),
        (  # means of real units are real
            methods.rbm(2, hidden=boltzmann.gaussian_hidden()),
            {**RBM, "momentum": RATE, "sparsity_target": ((-3, 0, 1, 7), ())},
        ),
        (
            methods.boltzmann_machine(2),
            {"learning_rate": LEARNING_RATE, "weight_decay": WEIGHT},
        ),
        (methods.deep_belief_network((3, 2)), {"learning_rate": LEARNING_RATE}),
    ],
)
def test_numbers_may_be_what_makes_sense(method, numbers):
    assert method.hparams.keys() == method.domains.keys() == numbers.keys()
    for name, (inside, outside) in numbers.items():
        grouped(method, [{name: value, "seed": 0} for value in inside])
        for value in outside:
            with pytest.raises(InputError, match=f"^{name} is {value}: use "):
                grouped(method, [{name: value, "seed": 0}])
