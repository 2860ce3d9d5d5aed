"""YAML that we write reads as it was meant, by a parser of others."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.yaml_text import WIDTH, yaml_text

texts = st.text("aZ0 .,:;#-'\"{}[]()&*!|>%@`?\\/$_=~<\né漢", max_size=30)
words = st.lists(
    st.sampled_from(["null", "a: b", "#", "- x", "it's", "on", "0x1", "1e3", "word," * 9])
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
    | texts
    | words.map(" ".join)
    | words.map("\n".join)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=15,
)


@given(st.dictionaries(texts, values, max_size=5))
def test_yaml_reads_as_it_was_written(data: dict[str, Any]) -> None:
    assert yaml.safe_load(yaml_text(data)) == (data or None)


@given(
    st.lists(st.sampled_from(["one", "two words", "three, even", "null"]), min_size=30, max_size=50)
)
def test_lists_and_text_are_broken_into_lines(items: list[str]) -> None:
    text = yaml_text({"list": items, "text": " ".join(items)})
    assert max(map(len, text.splitlines())) <= WIDTH
