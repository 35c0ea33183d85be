"""The values that numbers of parts may take: the ends of what makes sense, and what is beyond."""

import pytest

from ae_jax.methods import bottlenecks, observations, penalties

WEIGHT = ((0, 1e-8, 1e4), (-1e-8, -1))
RATE = ((0, 0.99), (-0.01, 1, 2))
SCALE = ((1e-8, 1e4), (0, -1))


@pytest.mark.parametrize(
    ("part", "numbers"),
    [
        (bottlenecks.k_sparse(3), {"k": ((1, 2.0, 1e6), (0, -1, 1.5))}),
        (bottlenecks.dropout(), {"dropout_rate": RATE}),
        (bottlenecks.noise(), {"latent_noise": WEIGHT}),
        (observations.gaussian(), {"variance": SCALE}),
        (observations.correntropy(), {"sigma": SCALE}),
        (observations.bernoulli(), {}),
        (penalties.contractive(), {"contractive_weight": WEIGHT}),
        (penalties.l1(), {"l1_weight": WEIGHT}),
        (penalties.weight_decay(), {"weight_decay": WEIGHT}),
        (
            penalties.sparsity(momentum=0.9),
            {
                "sparsity_weight": WEIGHT,
                "sparsity_target": ((1e-6, 0.999), (0, 1, -0.1, 2)),
                "sparsity_momentum": RATE,
            },
        ),
    ],
)
def test_numbers_may_be_what_makes_sense(part, numbers):
    assert part.hparams.keys() == part.domains.keys() == numbers.keys()
    for name, (inside, outside) in numbers.items():
        domain = part.domains[name]
        assert all(value in domain for value in (*inside, part.hparams[name]))
        assert not any(value in domain for value in outside)
