"""What no adversarial method takes, in one line that says what to do instead."""

import jax
import jax.numpy as jnp
import pytest

from ae_jax import methods, nets
from ae_jax.core import InputError, Network
from ae_jax.methods import conditions

KEY = jax.random.key(0)
BATCH = {"image": jnp.zeros((4, 3, 2, 1)), "label": jnp.array([0, 1, 2, 0])}


def initialised(method, batch=BATCH):
    return jax.eval_shape(method.init, KEY, batch, dict(method.hparams))


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
