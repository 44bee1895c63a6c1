"""Configs of anybody's: whatever is in one, it is judged in a moment, in words, and nothing of it
is run.
"""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from imglab.config.yaml import dump_yaml, parse_yaml
from imglab.errors import InputError
from tests.hostile.config_edits import as_yaml, edited, mutable, settings_of, several, texts
from tests.hostile.config_trees import anything, counts, fuzz, judge, told, trees, words

json_like = trees(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        words,
    ),
    words,
)


class TestTheSchema:
    """Judged in this process."""

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "fuzzed.yaml"

    @counts(60, 600)
    def test_any_bytes(self, examples, path):
        fuzz(
            examples,
            st.one_of(texts, edited()),
            lambda content: (path.write_bytes(content), judge(path)),
        )

    @counts(60, 500)
    def test_any_tree(self, examples, path):
        named = st.dictionaries(
            st.sampled_from(
                [
                    "modality",
                    "model",
                    "regime",
                    "curate",
                    "name",
                    "seed",
                    "arms",
                    "chains",
                    "profiles",
                    "profile",
                ]
            ),
            anything,
        )
        fuzz(
            examples,
            st.one_of(anything, named),
            lambda tree: (path.write_bytes(as_yaml(tree)), judge(path)),
        )

    @counts(60, 700)
    def test_what_ships_with_changes(self, examples, path):
        right: list[object] = []

        def check(tree):
            path.write_bytes(as_yaml(tree))
            right.extend(judge(path))

        fuzz(examples, mutable(), check)
        assert right, "some of them are still right, and survive their own dump"

    @counts(60, 500)
    def test_sweeps_and_chains(self, examples, path):
        fuzz(examples, several(), lambda tree: (path.write_bytes(as_yaml(tree)), judge(path)))

    @counts(60, 400)
    def test_any_set(self, examples, configs):
        there = ["image_digits.yaml", "gaussian.yaml", "sweep_digits.yaml", "side_by_side.yaml"]
        pairs = st.tuples(st.sampled_from(there), settings_of())
        fuzz(examples, pairs, lambda pair: judge(configs / pair[0], pair[1]))

    @counts(60, 400)
    def test_keys_of_another_package_s_class_survive(self, examples, path):
        def check(found):
            tree = {
                "modality": {"kind": "gaussian"},
                "model": {**found[0], "kind": "not_there:Model"},
                "name": found[1],
            }
            path.write_text(dump_yaml(tree), encoding="utf-8")
            for config in judge(path):
                assert getattr(config.model, "keys", None) == {
                    key: value for key, value in found[0].items() if key != "kind"
                }
                assert config.name == found[1]

        fuzz(examples, st.tuples(st.dictionaries(words, json_like, max_size=5), words), check)

    @counts(60, 400)
    def test_text_is_read_as_it_was_written(self, examples):
        fuzz(examples, json_like, lambda tree: self.same(tree))

    def same(self, tree):
        text = dump_yaml(tree)
        try:
            found = parse_yaml(text, "dump")
        except InputError as error:
            what = told(error)[0]
        else:
            what = "" if found == tree else "is something else"
        assert not what or any(bound in what for bound in ("characters", "digits", "deeper")), what
