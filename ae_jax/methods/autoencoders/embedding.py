"""Embeddings of words, learned from the words that stand near them."""

import jax
import jax.numpy as jnp
import optax

from ae_jax.core import COUNT, Array, Batch, Domain, HParams, Method, Views, require
from ae_jax.methods.learners.gradient import GradientState
from ae_jax.methods.learners.objective import Objective, descend


def skip_gram(
    vocabulary_size: int,
    embedding_size: int = 64,
    *,
    learning_rate: float = 1e-3,
    optimizer: optax.GradientTransformation | None = None,
) -> Method:
    """Returns the model that predicts a word near `centre` [B], `context` [B], from it.

    p(context = o | centre = c) = softmax_o(u_o . v_c) over the whole vocabulary, where v are
    the embeddings of words and u those of contexts. Embeddings begin with standard deviation
    1 / sqrt(embedding_size) for words, and at zero for contexts: at the uniform distribution.

    Args:
      vocabulary_size: words are 0, 1, ..., vocabulary_size - 1.
      embedding_size: Z.
      learning_rate: traced.
      optimizer: gives the direction; Adam (0.9, 0.999, 1e-8) where None.

    Returns:
      The method. Evaluation, per pair in nats: `loss` = -log p(context | centre). The view
      `encode` gives the embeddings v of a batch's `centre`.

    Raises:
      InputError: a size that is not positive.

    Reference:
      Mikolov et al. (2013), Distributed Representations of Words and Phrases and their
      Compositionality, equation 2.
    """
    require(COUNT, vocabulary_size=vocabulary_size, embedding_size=embedding_size)

    def terms(key: Array, params, batch: Batch, hparams: HParams, training: bool):
        logits = embed(params, batch["centre"]) @ params["context"].T
        # -log softmax(logits)_context
        loss = optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch["context"])
        return {"loss": loss}, {}

    def embed(params, words: Array) -> Array:
        # A product with one-hot rows: its gradient is a product too, not a scatter.
        return jax.nn.one_hot(words, vocabulary_size, dtype=jnp.result_type(float)) @ params["word"]

    def init(key: Array, batch: Batch, hparams: HParams) -> dict[str, Array]:
        shape, dtype = (vocabulary_size, embedding_size), jnp.result_type(float)
        word = jax.random.normal(key, shape, dtype) / embedding_size**0.5
        return {"word": word, "context": jnp.zeros(shape, dtype)}

    def encode(state: GradientState, batch: Batch, hparams: HParams) -> Array:
        return embed(state.params, batch["centre"])

    words = Domain(0, vocabulary_size - 1, whole=True)
    return descend(
        Objective(init, terms, ranges={"centre": words, "context": words}),
        Views(encode=encode),
        optimizer=optimizer,
        learning_rate=learning_rate,
    )
