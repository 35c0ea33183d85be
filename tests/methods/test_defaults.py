"""What methods do where nothing is chosen is what their docstrings say, to the last operation."""

import re

import jax
import numpy as np
import optax
import pytest

from ae_jax import corruptions, losses, methods, nets
from ae_jax.core import BELOW_ONE, FRACTION, NOT_NEGATIVE, POSITIVE
from ae_jax.methods import discrepancies, observations, shown
from ae_jax.methods.adversarial import regularisers

ADAM, HALF = optax.scale_by_adam(0.9, 0.999, 1e-8), optax.scale_by_adam(0.5, 0.999, 1e-8)
#: Of all numbers but these the domain is NOT_NEGATIVE.
DOMAINS = {
    "learning_rate": POSITIVE,
    "kernel_scale": POSITIVE,
    "sinkhorn_epsilon": POSITIVE,
    "ema_decay": BELOW_ONE,
    "fade": FRACTION,
    "hole_level": FRACTION,
}
LOGISTIC = {"objective": losses.adversarial.non_saturating(), "regularisers": ()}
CODED = {
    **LOGISTIC,
    "prior": jax.random.normal,
    "reconstruction": observations.squared_error(),
    "optimizer": ADAM,
    "discriminator_optimizer": HALF,
    "encoder_optimizer": HALF,
}
PLAYED = {
    **LOGISTIC,
    "output": jax.nn.sigmoid,
    "optimizer": HALF,
    "discriminator_optimizer": HALF,
}
TURNS = {"simultaneous": False, "average": False}
RATES = {"learning_rate": 2e-4, "discriminator_learning_rate": 2e-4}


def image(features=4):
    return nets.mlp((2, features // 2, 1), ())


def growing():
    """A stage that fades."""
    generator = nets.Growing(
        {"generator_2": image(), "generator_4": nets.mlp((4, 4, 1), ())},
        {"to_image_2": image(), "to_image_4": nets.mlp((4, 4, 1), ())},
    )
    discriminator = nets.Growing(
        {"discriminator_4": image(), "discriminator_2": nets.mlp(1, ())},
        {"from_image_2": image(), "from_image_4": nets.mlp((4, 4, 1), ())},
    )
    return generator, discriminator


def matched(discrepancy=None):
    given = {} if discrepancy is None else {"discrepancy": discrepancy}
    return lambda **options: methods.matching_network(image(), 3, **(given | options))


def holed():
    return shown.holed(corruptions.centre)


def one():
    return nets.mlp(1, ())


CASES = {
    "gan": (
        lambda **options: methods.gan(image(), one(), 3, **options),
        RATES,
        {
            **PLAYED,
            **TURNS,
            "condition": None,
            "prior": jax.random.normal,
            "discriminator_steps": 1,
        },
    ),
    "adversarial_autoencoder": (
        lambda **options: methods.adversarial_autoencoder(
            nets.mlp(3, ()), image(), one(), 3, **options
        ),
        {
            "learning_rate": 1e-3,
            "discriminator_learning_rate": 1e-3,
            "encoder_learning_rate": 1e-3,
            "adversarial_weight": 1.0,
        },
        {**CODED, "classes": None, "merged": False},
    ),
    "semi_supervised": (
        lambda **options: methods.semi_supervised_adversarial_autoencoder(
            nets.mlp(4, ()), image(), one(), one(), 2, 2, **options
        ),
        {
            "learning_rate": 1e-3,
            "discriminator_learning_rate": 1e-3,
            "encoder_learning_rate": 1e-3,
            "classifier_learning_rate": 1e-3,
            "adversarial_weight": 1.0,
        },
        {**CODED, "classifier_optimizer": ADAM},
    ),
    "vae_gan": (
        lambda **options: methods.vae_gan(
            nets.mlp(6, ()), image(), nets.mlp(3, ()), one(), 3, **options
        ),
        {
            "learning_rate": 3e-4,
            "encoder_learning_rate": 3e-4,
            "discriminator_learning_rate": 3e-4,
            "beta": 1.0,
            "feature_weight": 1.0,
            "adversarial_weight": 1.0,
        },
        {
            **LOGISTIC,
            "output": jax.nn.sigmoid,
            "log_var_bound": None,
            "optimizer": optax.scale_by_rms(0.9, 1e-8),
        },
    ),
    "bigan": (
        lambda **options: methods.bigan(nets.mlp(3, ()), image(), one(), 3, **options),
        RATES,
        {**PLAYED, "features": None, "prior": jax.random.normal},
    ),
    "progressive_gan": (
        lambda **options: methods.progressive_gan(*growing(), 3, **options),
        {
            "learning_rate": 1e-3,
            "discriminator_learning_rate": 1e-3,
            "gradient_penalty_weight": 10.0,
            "gradient_penalty_target": 1.0,
            "drift_weight": 1e-3,
            "fade": 1.0,
        },
        {
            "objective": losses.adversarial.wasserstein(),
            "regularisers": (regularisers.gradient_penalty(), regularisers.drift()),
            "prior": jax.random.normal,
            "average": False,
            "optimizer": optax.scale_by_adam(0.0, 0.99, 1e-8),
            "discriminator_optimizer": optax.scale_by_adam(0.0, 0.99, 1e-8),
        },
    ),
    "image_to_image": (
        lambda **options: methods.image_to_image(image(), one(), **options),
        {**RATES, "l1_weight": 100.0, "adversarial_weight": 1.0},
        {**PLAYED, **TURNS},
    ),
    "context_encoder": (
        lambda **options: methods.context_encoder(image(), one(), holed(), **options),
        {
            "learning_rate": 2e-3,
            "discriminator_learning_rate": 2e-4,
            "reconstruction_weight": 0.999,
            "adversarial_weight": 0.001,
            "hole_level": 0.5,
        },
        {**PLAYED, **TURNS, "overlap": 0},
    ),
    "overlapping": (
        lambda **options: methods.context_encoder(image(), one(), holed(), overlap=1, **options),
        {
            "learning_rate": 2e-3,
            "discriminator_learning_rate": 2e-4,
            "reconstruction_weight": 0.999,
            "adversarial_weight": 0.001,
            "overlap_weight": 10.0,
            "hole_level": 0.5,
        },
        {},
    ),
    "cycle_gan": (
        lambda **options: methods.cycle_gan(image(), image(), one(), one(), **options),
        {
            "learning_rate": 2e-4,
            "discriminator_a_learning_rate": 2e-4,
            "discriminator_b_learning_rate": 2e-4,
            "cycle_weight": 5.0,
            "identity_weight": 2.5,
        },
        {
            **PLAYED,
            **TURNS,
            "objective": losses.adversarial.least_squares(),
            "pool_size": 50,
        },
    ),
    "matching_network": (
        matched(),
        {"learning_rate": 1e-3, "kernel_scale": 1.0},
        {
            "discrepancy": discrepancies.mmd((0.02, 0.05, 0.1, 0.2, 0.5, 1.0), root=True),
            "prior": lambda key, shape: jax.random.uniform(key, shape, minval=-1),
            "output": jax.nn.sigmoid,
            "relative": True,
            "optimizer": ADAM,
        },
    ),
    "sinkhorn": (
        matched(discrepancies.sinkhorn()),
        {"learning_rate": 1e-3, "sinkhorn_epsilon": 0.02},
        {"discrepancy": discrepancies.sinkhorn(iterations=20)},
    ),
    "sliced_wasserstein": (
        matched(discrepancies.sliced_wasserstein()),
        {"learning_rate": 1e-3},
        {"discrepancy": discrepancies.sliced_wasserstein(32)},
    ),
}


def program(method, name):
    """A step's operations and constants."""
    side = 4 if name == "progressive_gan" else 2
    x = jax.ShapeDtypeStruct((4, side, side, 1), float)
    batch = {"image": x, "other": x, "target": x, "label": jax.ShapeDtypeStruct((4,), int)}
    key, hparams = jax.random.key(0), dict(method.hparams)
    state = jax.eval_shape(method.init, key, batch, hparams)
    traced = jax.make_jaxpr(method.step)(key, state, batch, hparams)
    constants = [np.asarray(value).tolist() for value in traced.consts]
    return re.sub("0x[0-9a-f]+", "", str(traced)), constants


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", CASES)
def test_a_step_without_options_is_that_of_the_options_in_docstrings(name):
    factory, numbers, options = CASES[name]
    method = factory()
    assert method.hparams == numbers
    assert method.domains == {number: DOMAINS.get(number, NOT_NEGATIVE) for number in numbers}
    if "average" in options:
        averaged = factory(average=True)
        assert averaged.hparams == numbers | {"ema_decay": 0.999}
        assert averaged.domains["ema_decay"] == BELOW_ONE
    assert program(method, name) == program(factory(**options), name)
