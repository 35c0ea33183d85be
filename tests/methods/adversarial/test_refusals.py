"""What no adversarial method takes, in one line that says what to do instead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ae_jax import corruptions, methods, nets
from ae_jax.core import InputError, Network
from ae_jax.losses import adversarial
from ae_jax.methods import conditions, observations, shown
from ae_jax.methods.adversarial.regularisers import r1
from ae_jax.probability import priors

KEY = jax.random.key(0)
BATCH = {"image": jnp.zeros((4, 3, 2, 1)), "label": jnp.array([0, 1, 2, 0])}


def initialised(method, batch=BATCH):
    return jax.eval_shape(lambda key: method.init(key, batch, dict(method.hparams)), KEY)


def unseen(*_):
    raise AssertionError("looked at before the generator")


TURNED, CODE, JUDGE = nets.mlp((2, 3, 1), ()), nets.mlp(2, ()), Network(unseen, unseen)


@pytest.mark.parametrize(
    ("maker", "method"),
    [
        ("generator", methods.gan(TURNED, JUDGE, 2)),
        *(
            ("generator", methods.gan(TURNED, JUDGE, 2, condition=way(3)))
            for way in (conditions.concatenation, conditions.projection, conditions.auxiliary)
        ),
        ("generator", methods.gan(CODE, JUDGE, 2, output=jnp.sin)),
        ("generator", methods.bigan(CODE, TURNED, JUDGE, 2, features=JUDGE)),
        ("generator", methods.context_encoder(TURNED, JUDGE, shown.holed(corruptions.centre))),
        ("decoder", methods.vae_gan(nets.mlp(4, ()), TURNED, JUDGE, JUDGE, 2)),
        ("decoder", methods.adversarial_autoencoder(CODE, TURNED, JUDGE, 2)),
        (
            "decoder",
            methods.semi_supervised_adversarial_autoencoder(
                nets.mlp(4, ()), TURNED, JUDGE, JUDGE, 3, 1
            ),
        ),
    ],
)
def test_what_is_made_has_the_shape_of_the_data(maker, method):
    with pytest.raises(InputError, match=rf"the {maker} makes \[4, 2.*\] of a batch of \[4, 3, 2,"):
        initialised(method)


def test_the_shape_is_that_of_what_output_makes():
    method = methods.gan(TURNED, nets.mlp(1, ()), 2, output=lambda x: x.transpose(0, 2, 1, 3))
    initialised(method)


def test_features_of_pairs_are_vectors():
    method = methods.bigan(
        CODE, nets.mlp((3, 2, 1), ()), nets.mlp(1, ()), 2, features=nets.mlp((3, 2, 1), ())
    )
    with pytest.raises(InputError, match=r"must be \[B, F\], and are \[4, 3, 2, 1\]; use a"):
        initialised(method)


@pytest.mark.parametrize(
    ("figure", "finite", "method"),
    [
        (
            "error",
            [True, False, True, True],  # it is wrong about what is no class
            methods.semi_supervised_adversarial_autoencoder(
                nets.mlp(4, ()), nets.mlp((3, 2, 1), ()), nets.mlp(1, ()), nets.mlp(1, ()), 3, 1
            ),
        ),
        (
            "encoder_loss",
            [True, True, True, False],
            methods.adversarial_autoencoder(
                CODE, nets.mlp((3, 2, 1), ()), nets.mlp(1, ()), 2, classes=3, prior=priors.ring(3)
            ),
        ),
    ],
)
def test_labels_are_classes_or_not_known(figure, finite, method):
    hparams = dict(method.hparams)
    state = method.init(KEY, BATCH, hparams)
    for label in (3, 7):
        wrong = {**BATCH, "label": jnp.array([0, -1, 2, label])}
        with pytest.raises(
            InputError, match=f"from 0 to 2, or below 0 .*, got -1 to {label}: give"
        ):
            initialised(method, wrong)
        with pytest.raises(InputError, match=f"got -1 to {label}: give"):
            method.views.generate(KEY, state, wrong, hparams)
        # where they cannot be looked at
        values, made = jax.jit(
            lambda batch: (
                method.evaluate(KEY, state, batch, hparams),
                method.views.generate(KEY, state, batch, hparams),
            )
        )(wrong)
        np.testing.assert_array_equal(np.isfinite(made).all((1, 2, 3)), [True, True, True, False])
        np.testing.assert_array_equal(np.isfinite(values[figure]), finite)


def test_a_class_that_is_not_known_is_drawn():
    """What is decoded are codes: the class, one-hot, and the style."""
    same = Network(lambda key, x: {}, lambda params, x: x)
    method = methods.semi_supervised_adversarial_autoencoder(
        same, same, nets.mlp(1, ()), nets.mlp(1, ()), 3, 1
    )
    batch = {"image": jnp.zeros((60, 4)), "label": jnp.full(60, -1).at[:2].set(1)}
    hparams = dict(method.hparams)
    state = method.init(KEY, batch, hparams)
    made = method.views.generate(KEY, state, batch, hparams)[:, :3]
    np.testing.assert_array_equal(made[:2], [[0, 1, 0]] * 2)
    np.testing.assert_array_equal(np.sort(made, axis=1), [[0, 0, 1]] * 60)
    assert (np.sum(made, axis=0) > 8).all()


def gan(**options):
    return methods.gan(nets.mlp((3, 2, 1), ()), nets.mlp(1, ()), 2, **options)


PAIR = nets.mlp(1, ()), nets.mlp(1, ())
HOLED = shown.holed(corruptions.centre)
ADVERSARIES = {
    "gan": gan,
    "bigan": lambda **options: methods.bigan(CODE, *PAIR, 2, **options),
    "vae_gan": lambda **options: methods.vae_gan(CODE, CODE, *PAIR, 1, **options),
    "image_to_image": lambda **options: methods.image_to_image(*PAIR, **options),
    "context_encoder": lambda **options: methods.context_encoder(*PAIR, HOLED, **options),
    "cycle_gan": lambda **options: methods.cycle_gan(*PAIR, *PAIR, **options),
    "adversarial_autoencoder": lambda **options: methods.adversarial_autoencoder(
        CODE, *PAIR, 2, **options
    ),
    "semi_supervised": lambda **options: methods.semi_supervised_adversarial_autoencoder(
        CODE, CODE, *PAIR, 2, 1, **options
    ),
    "progressive_gan": lambda **options: methods.progressive_gan(
        nets.growing_generator((4,)), nets.growing_discriminator((4,)), 2, **options
    ),
}


@pytest.mark.parametrize("build", ADVERSARIES.values(), ids=ADVERSARIES)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objective": adversarial.hinge}, "^objective is the function hinge: call it, as in .*()"),
        ({"objective": "hinge"}, "^objective is 'hinge': use what .*, such as .*hinge()"),
        ({"regularisers": [r1(), r1]}, r"^regularisers\[1\] is the function r1: call it"),
        ({"regularisers": r1}, "^regularisers is the function r1: call it, as in a list"),
        ({"regularisers": r1()}, "^regularisers is a Regulariser: use .* a list of them"),
        ({"regularisers": "r1"}, "^regularisers is 'r1': use .* a list of them"),
    ],
)
def test_parts_of_another_kind_are_named(build, options, words):
    with pytest.raises(InputError, match=words):
        build(**options)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gan(condition=conditions.projection), "^condition is the function projection: ca"),
        *(
            (
                lambda name=name: ADVERSARIES[name](reconstruction=observations.bernoulli),
                "^reconstruction is the function bernoulli: call it",
            )
            for name in ("adversarial_autoencoder", "semi_supervised")
        ),
        (lambda: gan(condition=3), "^condition is 3: use what .*, such as conditions.projection"),
        (lambda: gan(prior=lambda key, shape: jnp.zeros((3, 1))), r"must give latents \[B, 2\]"),
        *(
            (lambda build=build, prior=prior: build(prior=prior), f"^prior is {said}: ")
            for name, build in ADVERSARIES.items()
            if name not in ("vae_gan", "image_to_image", "context_encoder", "cycle_gan")
            for prior, said in (
                (priors.swiss_roll, "the function swiss_roll"),
                ("normal", "'normal'"),
            )
        ),
    ],
)
def test_a_factory_is_none_of_what_it_makes(call, words):
    with pytest.raises(InputError, match=words):
        call()
