"""English words, and their contexts, from the documentation that comes with Python.

The text is its language reference and the docstrings of its standard library.
"""

import collections
import functools
import itertools
import re
import string
import sysconfig
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ae_jax.core import Array, Batch, Dataset, InputError
from ae_jax.data.content import digest_of_arrays
from ae_jax.data.stored import gather

#: Token 0 ends a word and fills it up; 1 to 26 are the letters.
ALPHABET = "·" + string.ascii_lowercase
SHORTEST, LONGEST = 3, 12
#: Of the contexts: how many words, how far apart, and how often a word must be one of how many
#: for its occurrences to be thinned out.
VOCABULARY_SIZE, WINDOW, FREQUENT = 1000, 2, 1e-3
#: Folders in the library's own that hold others' modules, tests and programs.
_NOT_THE_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idlelib", "pydoc_data"}
_NOT_THE_LIBRARY |= {"ensurepip", "lib2to3", "turtledemo"}


def load(split: str) -> Dataset:
    """The distinct words of 3 to 12 letters, spelled.

    Which words there are depends a little on the version of Python; which split a word is in
    does not.

    Args:
      split: train (four fifths of the words), validation, test (a tenth each), or all.

    Returns:
      A Dataset in alphabetical order with `tokens` int [13] (the letters from 1 to 26, then
      zeros), `length`, the number of letters and one more for the zero that ends the word, and
      `count`, how often the word stands in the text.

    Raises:
      InputError: this Python comes without its language reference.
    """
    counts = _counts()
    words = sorted(w for w in counts if SHORTEST <= len(w) <= LONGEST and _in(split, w))
    return _integers(
        {
            "tokens": encode(words).astype(np.uint8),
            "length": np.array([len(word) + 1 for word in words], np.uint8),
            "count": np.array([counts[word] for word in words], np.int32),
        }
    )


def encode(words: Sequence[str]) -> np.ndarray:
    """Words of lower-case letters as tokens, int [N, 13].

    Raises:
      InputError: a word is too long, or has another character.
    """
    tokens = np.zeros((len(words), LONGEST + 1), np.int32)
    for row, word in zip(tokens, words, strict=True):
        if len(word) > LONGEST or not set(word) <= set(string.ascii_lowercase):
            raise InputError(f"{word!r} is not a word of at most {LONGEST} lower-case letters")
        row[: len(word)] = [ALPHABET.index(letter) for letter in word]
    return tokens


def decode(tokens: Array | np.ndarray) -> list[str]:
    """Tokens [N, T], or their probabilities [N, T, 27], as words: what precedes the first 0."""
    tokens = np.asarray(tokens)
    tokens = tokens.argmax(axis=-1) if tokens.ndim == 3 else tokens
    return ["".join(ALPHABET[token] for token in row).split(ALPHABET[0])[0] for row in tokens]


def vocabulary() -> list[str]:
    """The most frequent words of 3 letters and more, by frequency: those of `contexts`."""
    counts = _counts()
    words = [word for word in counts if len(word) >= SHORTEST]
    return sorted(words, key=lambda word: (-counts[word], word))[:VOCABULARY_SIZE]


def contexts(split: str) -> Dataset:
    """Pairs of words that stand at most two words apart, for skip-gram models.

    The words are those of `vocabulary`; others are passed over. Of a word with relative
    frequency f above t = 1/1000 only a fixed random part, sqrt(t / f), of its occurrences
    counts.

    Args:
      split: train (the pairs of nine tenths of the articles and modules), validation, test (of
        a twentieth each), or all.

    Returns:
      A Dataset in the order of the text with `centre` and `context`, places in `vocabulary`.

    Raises:
      InputError: this Python comes without its language reference.

    Reference:
      Mikolov et al. (2013), Distributed Representations of Words and Phrases and their
      Compositionality, sections 2 and 2.3.
    """
    place = {word: index for index, word in enumerate(vocabulary())}
    texts = {
        name: np.array([place[word] for word in words if word in place], np.int32)
        for name, words in sorted(_documents().items())
    }
    counts = np.bincount(np.concatenate(list(texts.values())), minlength=len(place))
    keep = np.sqrt(FREQUENT * counts.sum() / np.maximum(counts, 1))
    random = np.random.RandomState(0)  # its stream is frozen
    pairs = []
    for name, words in texts.items():
        words = words[random.random_sample(len(words)) < keep[words]]
        if _in(split, name, held_out=5):
            for distance in range(1, WINDOW + 1):
                pairs.append(np.stack([words[:-distance], words[distance:]], axis=1))
                pairs.append(pairs[-1][:, ::-1])
    centre, context = np.concatenate(pairs).astype(np.int32).T
    return _integers({"centre": centre.copy(), "context": context.copy()})


def _integers(arrays: Mapping[str, np.ndarray]) -> Dataset:
    spec = {name: jax.ShapeDtypeStruct(a.shape[1:], jnp.int32) for name, a in arrays.items()}
    size = len(next(iter(arrays.values())))
    return Dataset(spec, size, dict(arrays), _fetch, digest=digest_of_arrays(arrays))


def _fetch(arrays: Mapping[str, Array], indices: Array) -> Batch:
    return {name: gather(array, indices).astype(jnp.int32) for name, array in arrays.items()}


def _in(split: str, text: str, held_out: int = 10) -> bool:
    """Whether a text belongs to a split: held_out in 100 are validation, as many test."""
    place = zlib.crc32(text.encode()) % 100
    part = ("validation", "test", "train")[min(place // held_out, 2)]
    return split in (part, "all")


def _counts() -> collections.Counter:
    return collections.Counter(itertools.chain.from_iterable(_documents().values()))


@functools.cache
def _documents() -> Mapping[str, list[str]]:
    """The words of each article of the reference, and of each module's docstrings."""
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise InputError(
            "words comes with Python's language reference, pydoc_data, which this Python lacks: "
            "install the documentation package of your Python, or another Python"
        ) from error
    documents = {f"reference/{name}": _words(text) for name, text in topics.items()}
    root = Path(sysconfig.get_path("stdlib"))
    for path in root.rglob("*.py"):
        module = path.relative_to(root)
        if not _NOT_THE_LIBRARY & set(module.parts):
            text = path.read_text("utf-8", errors="replace")
            docstrings = re.findall(r'"""(.*?)"""', text, re.DOTALL)
            documents[module.as_posix()] = _words("\n".join(docstrings))
    return documents


def _words(text: str) -> list[str]:
    """Words in lower case; identifiers such as __init__ and KeyError are none."""
    return [word.lower() for word in re.findall(r"\b[A-Z]?[a-z]+\b", text)]
