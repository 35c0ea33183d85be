"""The values that methods take of labels and words; what wraps a method takes the same."""

import numpy as np
import pytest

from ae_jax import data, methods, nets
from ae_jax.core import Domain, InputError
from ae_jax.methods import conditions
from ae_jax.probability import priors

KNOWN = {"label": Domain(0, 2, whole=True)}
KNOWN_OR_NOT = {"label": Domain(high=2, whole=True)}
NETS = [nets.mlp(3, ()) for _ in range(4)]


def labelled(label):
    images = np.zeros((len(label), 2, 2, 1), np.uint8)
    return data.stored(images, np.asarray(label), value_range=(0, 255))


def classifier():
    return methods.classifier(NETS[0], 3)


def semi_supervised():
    return methods.semi_supervised_adversarial_autoencoder(*NETS, 3, 2)


CASES = {
    "classifier": (classifier, KNOWN),
    "GAN": (lambda: methods.gan(*NETS[:2], 2), {}),
    "conditional GAN": (
        lambda: methods.gan(*NETS[:2], 2, condition=conditions.concatenation(3)),
        KNOWN,
    ),
    "adversarial autoencoder": (lambda: methods.adversarial_autoencoder(*NETS[:3], 2), {}),
    "that of labels": (
        lambda: methods.adversarial_autoencoder(*NETS[:3], 2, classes=3, prior=priors.ring(3)),
        KNOWN_OR_NOT,
    ),
    "that of few labels": (semi_supervised, KNOWN_OR_NOT),
    "RBM": (lambda: methods.rbm(2), {}),
    "RBM of labels": (lambda: methods.rbm(2, classes=3), KNOWN),
    "DBN": (lambda: methods.deep_belief_network([2, 2]), {}),
    "DBN of labels": (lambda: methods.deep_belief_network([2, 2], classes=3), KNOWN),
    "skip-gram": (
        lambda: methods.skip_gram(7, 2),
        {"centre": Domain(0, 6, whole=True), "context": Domain(0, 6, whole=True)},
    ),
    "autoencoder of words": (
        lambda: methods.recurrent_autoencoder(
            nets.recurrent_encoder(2, 2), nets.recurrent_decoder((4, 5), 2), tokens=True
        ),
        {"tokens": Domain(0, 4, whole=True)},
    ),
    "autoencoder of sequences": (
        lambda: methods.recurrent_autoencoder(
            nets.recurrent_encoder(2, 2), nets.recurrent_decoder((4, 5), 2)
        ),
        {},
    ),
    "a stage": (lambda: methods.stage(NETS[0], classifier()), KNOWN),
    "one of several": (lambda: methods.one_of_several(classifier(), 2), KNOWN),
    "few labels": (lambda: methods.few_labels(classifier(), labelled([0, 2])), KNOWN),
    "partly labelled": (
        lambda: methods.partly_labelled(semi_supervised(), labelled([0, 2])),
        KNOWN_OR_NOT,
    ),
    "measured": (
        lambda: methods.measured(
            methods.gan(*NETS[:2], 2, condition=conditions.auxiliary(3)), lambda x, y: {}, 2
        ),
        KNOWN,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_method_takes(name):
    method, expected = CASES[name]
    assert method().ranges == expected


def test_of_latents_a_stage_takes_any():
    method = classifier()._replace(ranges={**KNOWN, "image": Domain(0, 1)})
    assert methods.stage(NETS[0], method).ranges == KNOWN


@pytest.mark.parametrize("wrapper", [methods.few_labels, methods.partly_labelled])
def test_a_pool_is_looked_at(wrapper):
    with pytest.raises(InputError, match="the pool's data have label 3, and the method takes"):
        wrapper(classifier(), labelled([0, 3]))
