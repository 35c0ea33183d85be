"""Layers of methods' encoders by name: what they are, what excites their units, and other names."""

import jax
import pytest

from ae_jax import data, nets
from ae_jax.core import InputError
from tests.methods.examples import REGISTRY

#: Of small examples, the layers that are not Linen modules' first.
LAYERS = {
    "rbm": ["hidden"],
    "deep_belief_network": ["hidden_0"],
    "boltzmann_machine": ["hidden"],
    "recurrent_autoencoder": ["layer_0", "latent"],
    "autoencoder": ["Dense_0", "output"],
    "classifier": ["Dense_0", "Dense_1", "output"],
    "stage": ["Dense_0", "output", "1/Dense_0", "1/Dense_1", "1/output"],
    "vae": ["Dense_0", "Dense_1", "output"],
    "bigan": ["Dense_0", "output"],
}
#: Numbers of words are no images: nothing climbs.
WITHOUT = {"skip_gram"}


def shapes(name):
    """Of the view, and what it is given."""
    method = REGISTRY[name].example()
    batch = data.head(REGISTRY[name].data(), 2)
    state = jax.eval_shape(method.init, jax.random.key(0), batch, method.hparams)
    return method.views.encode, (state, batch, method.hparams)


@pytest.mark.parametrize(
    "name", [n if n in LAYERS else pytest.param(n, marks=pytest.mark.full) for n in REGISTRY]
)
def test_layers_of_every_encoder_have_names(name):
    encode, given = shapes(name)
    if encode is None or name in WITHOUT:
        return
    found = {}

    def run(*given):
        found.update(nets.intermediates(encode, *given))
        return found

    outputs = jax.eval_shape(run, *given)
    if name in LAYERS:
        assert list(found) == LAYERS[name]
    for layer, output in outputs.items():
        one = jax.eval_shape(nets.intermediate(encode, layer), *given)
        assert (one.shape, one.dtype) == (output.shape, output.dtype)
        assert one.shape[0] == 2
    listed = f"there is no layer 'Conv_9'; use one of: {', '.join(found)}"
    with pytest.raises(InputError) as refused:
        jax.eval_shape(nets.intermediate(encode, "Conv_9"), *given)
    assert str(refused.value) == listed
