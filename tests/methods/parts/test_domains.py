"""The values that numbers of parts may take: the ends of what makes sense, and what is beyond."""

import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError
from ae_jax.methods import bottlenecks, discrepancies, observations, penalties
from ae_jax.training.lanes import grouped

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
        (observations.student(), {"degrees": SCALE, "variance": SCALE}),
        (observations.learned_gaussian(), {"least_variance": SCALE}),
        (observations.optimal_gaussian(), {"least_variance": SCALE}),
        (penalties.contractive(), {"contractive_weight": WEIGHT}),
        (penalties.l1(), {"l1_weight": WEIGHT}),
        (penalties.weight_decay(), {"weight_decay": WEIGHT}),
        (penalties.divergence(), {"kl_weight": WEIGHT}),
        (penalties.matching(), {"matching_weight": WEIGHT, "kernel_scale": SCALE}),
        (observations.multiscale_ssim(), {"ssim_weight": SCALE}),
        (penalties.latent_norm(), {"latent_norm_weight": WEIGHT}),
        (penalties.decoder_jacobian(), {"decoder_jacobian_weight": WEIGHT}),
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
    given = {
        "reconstruction": part if isinstance(part, observations.Observation) else None,
        "penalties": [part] if isinstance(part, penalties.Penalty) else [],
        "bottlenecks": [part] if isinstance(part, bottlenecks.Bottleneck) else [],
    }
    method = methods.autoencoder(nets.mlp(2, ()), nets.mlp(3, ()), **given)
    for name, (inside, outside) in numbers.items():
        grouped(method, [{name: value, "seed": 0} for value in inside])
        for value in outside:
            with pytest.raises(InputError, match=f"^{name} is {value}: use "):
                grouped(method, [{name: value, "seed": 0}])


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (discrepancies.mmd(), ["kernel_scale"]),
        (discrepancies.inverse_multiquadric(), ["kernel_scale"]),
        (discrepancies.sinkhorn(), ["sinkhorn_epsilon"]),
        (discrepancies.sliced_wasserstein(), []),
    ],
)
def test_scales_of_discrepancies_are_positive(part, names):
    method = methods.matching_network(nets.mlp(3, ()), 2, part)
    assert list(part.hparams) == list(part.domains) == names
    for name in names:
        grouped(method, [{name: value, "seed": 0} for value in SCALE[0]])
        for value in SCALE[1]:
            with pytest.raises(InputError, match=f"^{name} is {value}: use "):
                grouped(method, [{name: value, "seed": 0}])
