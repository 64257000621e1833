"""The terms of a text: words or characters, and sequences of them, equal in numpy and in ONNX.

Words are what lies between separators. The separators are written out, because engines of regular expressions differ
in what a letter is. Case is folded by the dictionary, which holds each word in several cases, because ONNX Runtime
folds by the machine's locale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstem.models.data.rows import NULL
from mainstem.models.graphs.builder import CONTRIB, ML, Builder

SEPARATORS = (
    r"\x00-/:-@\[-`{-\x{BF}\x{D7}\x{F7}\x{2000}-\x{206F}"
    rf"\x{{{ord(NULL):X}}}\x{{3000}}-\x{{303F}}\x{{FF00}}-\x{{FF0F}}\x{{FF1A}}-\x{{FF20}}"
)
"""What is not a part of a word: ASCII, Latin-1, general, CJK and fullwidth punctuation, and the text for a missing
value."""

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of one text column, with numbers 0 … V−1.

    `names` are tokens (words or characters) in each case of letters, `ids` their numbers from 1 on; others are 0.
    `keys` [V] ascend: a term is a sequence of ids, read as digits to the base `base`.
    """

    column: int
    names: tuple[str, ...]
    ids: Ids
    base: int
    keys: Ids
    length: int
    characters: bool

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def fit(
        cls, texts: NDArray[Any], column: int, *, most: int, length: int, rare: int, characters: bool
    ) -> tuple[Terms, Ids]:
        """Return the at most `most` most frequent terms that at least `rare` texts have, and how many texts have each.

        Terms are sequences of up to `length` tokens.
        """
        import pyarrow as pa

        tokens, row = tokens_of(texts, characters=characters)
        encoded = pa.array(tokens, pa.string()).dictionary_encode()
        seen: list[str] = encoded.dictionary.to_pylist()
        folded = _folded(seen)
        kept = _frequent(folded, encoded.indices.to_numpy(zero_copy_only=False), row, most, rare)
        number = {word: place for place, word in enumerate(kept, 1)}
        names, ids = _cases(kept, [(word, number.get(fold, 0)) for word, fold in zip(seen, folded, strict=True)])
        base = len(kept) + 1
        bare = cls(column, names, ids, base, np.empty(0, np.int64), length, characters)
        found, of_row = bare._sequences(tokens, row)
        keys, counts = np.unique(_pairs(found, of_row)[0], return_counts=True)
        best = np.lexsort((keys, -counts))[:most]
        best = np.sort(best[counts[best] >= rare])
        fitted = cls(column, names, ids, base, keys[best], length, characters)
        return fitted._pruned(), counts[best]

    def of(self, texts: NDArray[Any]) -> tuple[Ids, Ids]:
        """Return the numbers of the terms that texts have, each once in a text, and the row of each, in order."""
        found, row = self._sequences(*tokens_of(texts, characters=self.characters))
        place = np.minimum(np.searchsorted(self.keys, found), max(len(self.keys) - 1, 0))
        known = self.keys[place] == found if len(self.keys) else np.zeros(len(found), bool)
        return _pairs(place[known], row[known])

    def onnx(self, builder: Builder, strings: str, weights: NDArray[np.float32]) -> str:
        """Add [rows, V] float32 to a graph: the weight of each term that a text has, else 0."""
        column = builder.add("Gather", strings, builder.constant(np.array(self.column, np.int64)), axis=1)
        by = {"separators": [""]} if self.characters else {"tokenexp": f"[^{SEPARATORS}]+"}
        tokens = builder.add("Tokenizer", column, domain=CONTRIB, mark=0, mincharnum=1, pad_value="", **by)
        tokens = builder.shaped(tokens, "STRING", ["rows", f"tokens of {self.column}"])
        ids = builder.add(
            "LabelEncoder",
            tokens,
            domain=ML,
            keys_strings=list(self.names),
            values_int64s=self.ids.tolist(),
            default_int64=0,
        )
        digits = [self._digits(key) for key in self.keys.tolist()]
        starts = np.cumsum([0, *(sum(len(each) == n for each in digits) * n for n in range(1, self.length))])
        found = builder.add(
            "TfIdfVectorizer",
            ids,
            mode="IDF",
            min_gram_length=1,
            max_gram_length=self.length,
            max_skip_count=0,
            ngram_counts=starts.tolist(),
            ngram_indexes=list(range(len(digits))),
            pool_int64s=[digit for each in digits for digit in each],
            weights=weights.tolist(),
        )
        # Of no rows at all, the operator returns one.
        flat = builder.add("Reshape", found, builder.constant(np.array([-1, len(self.keys)], np.int64)))
        first = builder.constant(np.array([0], np.int64))
        return builder.add("Slice", flat, first, builder.add("Shape", column), first)

    def _sequences(self, tokens: Any, row: Ids) -> tuple[Ids, Ids]:
        """Return the keys of all sequences of known tokens, and the row of each."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = np.append(self.ids, 0)
        place = pc.index_in(tokens, value_set=pa.array(self.names, pa.string())).fill_null(len(self.names))
        ids = table[place.to_numpy(zero_copy_only=False)]
        keys, rows = [ids[ids > 0]], [row[ids > 0]]
        running, alive = ids, ids > 0
        for n in range(1, self.length):
            running, following = running[:-1] * self.base + ids[n:], ids[n:] > 0
            alive = alive[:-1] & following & (row[n:] == row[: len(row) - n])
            keys.append(running[alive])
            rows.append(row[n:][alive])
        return np.concatenate(keys), np.concatenate(rows)

    @cached_property
    def spelled(self) -> list[str]:
        """The terms as they are read, in small letters."""
        words: dict[int, str] = {}
        for name, number in zip(self.names, self.ids.tolist(), strict=True):
            words.setdefault(number, name.lower())
        return [" ".join(words[digit] for digit in self._digits(key)) for key in self.keys.tolist()]

    def _digits(self, key: int) -> list[int]:
        found = []
        while key:
            key, digit = divmod(key, self.base)
            found.append(digit)
        return found[::-1]

    def _pruned(self) -> Terms:
        """Return the terms without the tokens that no term has."""
        used = {digit for key in self.keys.tolist() for digit in self._digits(key)}
        kept = [place for place, number in enumerate(self.ids.tolist()) if number in used]
        names = tuple(self.names[place] for place in kept)
        return Terms(self.column, names, self.ids[kept], self.base, self.keys, self.length, self.characters)


def tokens_of(texts: NDArray[Any], *, characters: bool) -> tuple[Any, Ids]:
    """Return the tokens of all texts in order, as an Arrow array, and the row of each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.array(texts, pa.string())
    if characters:
        lengths = pc.utf8_length(column).to_numpy(zero_copy_only=False)
        points = list("".join(texts.tolist()))
        return pa.array(points, pa.string()), np.repeat(np.arange(len(texts)), lengths)
    parts = pc.split_pattern_regex(column, f"[{SEPARATORS}]+")
    tokens, row = parts.flatten(), pc.list_parent_indices(parts).to_numpy(zero_copy_only=False)
    whole = pc.greater(pc.binary_length(tokens), 0)
    return tokens.filter(whole), np.asarray(row[whole.to_numpy(zero_copy_only=False)], np.int64)


def words_in(texts: Sequence[str]) -> float:
    """Return the mean number of words in texts; 0 without texts."""
    tokens, _ = tokens_of(np.array(texts, object), characters=False)
    return len(tokens) / max(len(texts), 1)


def _folded(tokens: Sequence[str]) -> list[str]:
    return [token.lower() for token in tokens]


def _frequent(folded: Sequence[str], numbers: Any, row: Ids, most: int, rare: int) -> list[str]:
    """Return the at most `most` words that most texts have, and at least `rare` of them."""
    words, of_token = np.unique(np.array(folded, object).astype(str), return_inverse=True)
    if not len(words):
        return []
    pairs, _ = _pairs(of_token[numbers].astype(np.int64), row)
    counts = np.bincount(pairs, minlength=len(words))
    order = np.lexsort((words, -counts))[:most]
    return [str(words[place]) for place in order if counts[place] >= rare]


def _cases(kept: Sequence[str], seen: Sequence[tuple[str, int]]) -> tuple[tuple[str, ...], Ids]:
    """Return tokens with their numbers: those that were seen, and each word in small, capital and mixed letters."""
    found = {word: number for word, number in seen if number}
    for number, word in enumerate(kept, 1):
        for form in _forms(word):
            found.setdefault(form, number)
    return tuple(found), np.array(list(found.values()), np.int64)


def _forms(word: str) -> Iterator[str]:
    yield word
    yield from (form for form in (word.capitalize(), word.upper()) if form.lower() == word)


def _pairs(terms: Ids, row: Ids) -> tuple[Ids, Ids]:
    """Return each pair of a term and a row once, by row and then by term."""
    order = np.lexsort((terms, row))
    terms, row = terms[order], row[order]
    first = np.ones(len(terms), bool)
    first[1:] = (terms[1:] != terms[:-1]) | (row[1:] != row[:-1])
    return terms[first], row[first]
