"""Key-value attributes of a whole body as columns: each distinct one is read once, the plain ones as arrays.

What exporters write is read straight from the bytes: a key, then a text, a whole number or a double. Whatever else came
(lists, flags, strange encodings, what the vocabulary has conditions on) goes the way of one attribute by itself,
`Attributes.parsed`, which also says what is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.events import BY_NAME
from analytics.ingest.attributes import Attribute, Attributes, Key, Shared, value_json
from analytics.ingest.reasons import Refused
from analytics.ingest.vocabulary import COLUMNS

Numbers = np.ndarray[Any, np.dtype[Any]]

NONE = -1
PAD = 32  # zero bytes behind the last pair, so that no look ahead leaves the buffer
LENGTH_BYTES = 4  # of the varint of a length: texts to 256 MB
TEXT, WHOLE, REAL, ODD = range(4)
TAKES = {pa.string(): TEXT, pa.int64(): WHOLE, pa.float64(): REAL}
ESCAPED = np.array([byte < 0x20 or byte in b'"\\' for byte in range(256)])  # what JSON does not write as it is


class Decoded(msgspec.Struct, frozen=True):
    """Pairs as they are on the wire: `form` is TEXT, WHOLE, REAL or ODD, and says which of the values is theirs."""

    form: Numbers
    keys: pa.DictionaryArray
    texts: pa.BinaryArray
    ints: Numbers
    floats: Numbers


class Pairs:
    """Distinct attributes by number: the raw ones, then those that the spans of a group share.

    `key` is the number of the key, `column` the place in COLUMNS that the value fits or NONE, `rules` the number of
    what it fulfils in `fulfilled` (0 is nothing), `refused` whether its spans must be looked at one by one. `shared`
    are the numbers of each group by column, `ranks` those by key and `labels` the JSON of the names.
    """

    def __init__(self, raws: pa.BinaryArray, found: Decoded, shared: Sequence[Shared], attributes: Attributes) -> None:
        self.key: Numbers = found.keys.indices.to_numpy()
        self.keys = [_known(name, attributes) for name in found.keys.dictionary.to_pylist()]
        self._form, self._texts = found.form, found.texts
        self._ints, self._floats = found.ints, found.floats
        self.column = self._placed()
        self.rules: Numbers = np.zeros(len(raws), np.int64)
        self.refused: Numbers = np.zeros(len(raws), np.bool_)
        self.fulfilled: list[tuple[int, ...]] = [()]
        self._read_by_one: dict[int, Attribute] = {}
        self._extra_texts: list[str] = []
        self._text_at: Numbers = np.arange(len(raws))
        for number in np.flatnonzero(self._form == ODD).tolist():
            self._read(number, raws[number].as_py(), attributes)
        self.shared = self._share(shared)

    def _placed(self) -> Numbers:
        """The column of each pair; what cannot be told from its bytes becomes ODD."""
        column = np.array(
            [NONE if k is None or k.column is None else COLUMNS.index(k.column) for k in self.keys] or [0]
        )
        takes = np.array([ODD if c == NONE else TAKES[BY_NAME[COLUMNS[c]].type] for c in column])
        odd = np.array([key is None or key.watched for key in self.keys] or [True])
        hidden = np.array([key is not None and key.hidden for key in self.keys] or [False])
        column, takes, odd, hidden = column[self.key], takes[self.key], odd[self.key], hidden[self.key]
        empty = pc.equal(pc.binary_length(self._texts), 0).to_numpy(zero_copy_only=False)
        held = column != NONE
        odd |= held & ((takes != self._form) | (empty & (takes == TEXT)))
        odd |= ~held & (self._form == REAL)
        odd |= hidden & (self._form != TEXT)
        if not _unicode(self._texts):
            odd |= self._form == TEXT
        self._form[odd] = ODD
        concealed = np.flatnonzero(hidden & ~odd)
        if len(concealed):  # only their length is kept
            written = self._texts.take(pa.array(concealed)).cast(pa.string())
            self._ints[concealed] = pc.utf8_length(written).to_numpy()
            self._form[concealed] = WHOLE
        column[odd] = NONE
        return column

    def _read(self, number: int, raw: bytes, attributes: Attributes) -> None:
        try:
            attribute = attributes.parsed(raw)
        except Refused:
            self.refused[number] = True
            return
        self._read_by_one[number] = attribute
        if attribute.column is not None:
            self.column[number] = COLUMNS.index(attribute.column)
            self._keep(number, attribute.value)
        if attribute.rules:
            if attribute.rules not in self.fulfilled:
                self.fulfilled.append(attribute.rules)
            self.rules[number] = self.fulfilled.index(attribute.rules)

    def _share(self, groups: Sequence[Shared]) -> list[dict[int, int]]:
        found: list[dict[int, int]] = []
        number = len(self.column)
        more = sum(len(group.won) for group in groups)
        self._text_at = np.append(self._text_at, np.zeros(more, np.int64))
        self._ints, self._floats = (
            np.append(self._ints, np.zeros(more, np.int64)),
            np.append(self._floats, [0.0] * more),
        )
        for group in groups:
            found.append({})
            for column, attribute in group.won.items():
                found[-1][COLUMNS.index(column)] = number
                self._read_by_one[number] = attribute
                self._keep(number, attribute.value)
                number += 1
        return found

    def _keep(self, number: int, value: Any) -> None:
        match value:
            case str():
                self._text_at[number] = len(self._texts) + len(self._extra_texts)
                self._extra_texts.append(value)
            case int():
                self._ints[number] = value
            case float():
                self._floats[number] = value

    def rank(self, number: int) -> int:
        """Of a shared attribute; that of others is their key's."""
        return self._read_by_one[number].rank

    def values(self, column: str, numbers: Numbers) -> pa.Array:
        """The values of these pairs in a column; null where the number is NONE."""
        kind, none = BY_NAME[column].type, numbers == NONE
        if kind == pa.string():
            return self._all_texts().take(pa.array(self._text_at[numbers], mask=none)).cast(kind)
        held = self._ints if kind == pa.int64() else self._floats
        return pa.array(held[numbers], mask=none)

    def _all_texts(self) -> pa.Array:
        extra = pa.array([text.encode() for text in self._extra_texts], pa.binary())
        return pa.concat_arrays([self._texts, extra])

    def fragments(self, numbers: Numbers) -> tuple[Numbers, pa.Array]:
        """`"name":value` of these pairs in an order of their own: the numbers, and their JSON."""
        one = np.array([n for n in numbers.tolist() if n in self._read_by_one], np.int64)
        others = np.setdiff1d(numbers, one)
        forms = self._form[others]
        texts, ints = others[forms == TEXT], others[forms != TEXT]
        labels = pa.array([key.label if key else "" for key in self.keys], pa.string())
        written, names = self._texts.take(pa.array(texts)).cast(pa.string()), labels.take(pa.array(self.key[texts]))
        found = [
            pc.binary_join_element_wise(names, '"', written, '"', ""),
            pc.binary_join_element_wise(
                labels.take(pa.array(self.key[ints])), pa.array(self._ints[ints]).cast(pa.string()), ""
            ),
            pa.array([self._read_by_one[n].json() for n in one.tolist()], pa.string()),
        ]
        escaped = _escaped(written)
        if escaped:
            plain = found[0].to_pylist()
            for at in escaped:
                plain[at] = names[at].as_py() + value_json(written[at].as_py())
            found[0] = pa.array(plain, pa.string())
        return np.concatenate((texts, ints, one)), pa.concat_arrays(found)


def decoded(raws: pa.BinaryArray) -> Decoded:
    """What stands in pairs of the usual form: field 1 the key, field 2 the value, and nothing else."""
    offsets = np.frombuffer(raws.buffers()[1], np.int32, len(raws) + 1, 4 * raws.offset).astype(np.int64)
    data = raws.buffers()[2]
    wire = np.append(np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8), np.zeros(PAD, np.uint8))
    start, end = offsets[:-1], offsets[1:]
    size, key = _length(wire, start + 1)
    after = key + size
    clear = (wire[start] == 0x0A) & (after < end)
    after = np.where(clear, after, start)
    size, value = _length(wire, after + 1)
    clear &= (wire[after] == 0x12) & (value + size == end) & (size > 0)
    value = np.where(clear, value, start)
    tag = np.where(clear, wire[value], 0)
    size, text = _length(wire, value + 1)

    form = np.full(len(raws), ODD)
    form[(tag == 0x0A) & (text + size == end)] = TEXT
    ints, floats = np.zeros(len(raws), np.int64), np.zeros(len(raws))
    whole = np.flatnonzero((tag == 0x18) & (end - value > 1) & (end - value <= 11))
    ints[whole], good = _varints(wire, value[whole] + 1, end[whole])
    form[whole[good]] = WHOLE
    real = np.flatnonzero((tag == 0x21) & (end - value == 9))
    floats[real] = np.ascontiguousarray(wire[value[real, np.newaxis] + np.arange(1, 9)]).view("<f8").ravel()
    form[real[np.isfinite(floats[real])]] = REAL

    key, after = np.where(clear, key, start), np.where(clear, after, start)
    text = np.where(form == TEXT, text, end)
    cuts = np.append(np.column_stack((start, key, after, text)).ravel(), offsets[-1:]).astype(np.int32)
    pieces = pa.Array.from_buffers(pa.binary(), 4 * len(raws), [None, pa.py_buffer(cuts), data])
    each = 4 * np.arange(len(raws))
    keys = pieces.take(pa.array(each + 1)).dictionary_encode()
    return Decoded(form, keys, pieces.take(pa.array(each + 3)), ints, floats)


def _length(wire: Numbers, at: Numbers) -> tuple[Numbers, Numbers]:
    """The varints of lengths, and where what they measure begins; one that is too long measures nothing that fits."""
    byte = wire[at].astype(np.int64)
    length, more = byte & 0x7F, byte > 0x7F
    for step in range(1, LENGTH_BYTES):
        if not more.any():
            break
        at = at + more
        byte = np.where(more, wire[np.minimum(at, len(wire) - 1)], 0).astype(np.int64)
        length, more = length | (byte & 0x7F) << 7 * step, byte > 0x7F
    return np.where(more, len(wire), length), at + 1


def _varints(wire: Numbers, at: Numbers, end: Numbers) -> tuple[Numbers, Numbers]:
    """Whole numbers that fill `at` to `end`, at most ten bytes each, and whether they do."""
    found, good = np.zeros(len(at), np.uint64), np.ones(len(at), np.bool_)
    for step in range(int((end - at).max(initial=0))):
        inside, last = at + step < end, at + step == end - 1
        byte = np.where(inside, wire[np.minimum(at + step, len(wire) - 1)], 0)
        found |= (byte & 0x7F).astype(np.uint64) << np.uint64(7 * step)
        good &= ~inside | ((byte > 0x7F) != last) & ((step < 9) | (byte == 1))
    return found.view(np.int64), good


def _known(name: bytes, attributes: Attributes) -> Key | None:
    """What is known of a key; None where it is no text."""
    try:
        return attributes.key(name.decode())
    except UnicodeDecodeError:
        return None


def _unicode(texts: pa.BinaryArray) -> bool:
    try:
        texts.cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _escaped(texts: pa.StringArray) -> list[int]:
    """The places of texts that JSON does not write as they are."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1)
    data = texts.buffers()[2]
    hits = np.flatnonzero(ESCAPED[np.frombuffer(data, np.uint8, int(offsets[-1]))]) if data else np.zeros(0, np.int64)
    found: list[int] = np.unique(np.searchsorted(offsets, hits, side="right") - 1).tolist()
    return found
