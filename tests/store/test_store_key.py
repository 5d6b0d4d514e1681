import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmstart.errors import UsageError
from warmstart.store.key import digest_of, recipe_key, row_key

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
recipes = st.dictionaries(st.text(), plain, max_size=5)


@given(recipes)
def test_order_of_entries_does_not_change_the_recipe_key(recipe):
    assert recipe_key(dict(reversed(recipe.items()))) == recipe_key(recipe)


@given(recipes)
def test_a_recipe_that_went_through_a_json_file_has_the_same_key(recipe):
    assert recipe_key(json.loads(json.dumps(recipe))) == recipe_key(recipe)


@given(recipes, recipes)
def test_different_recipes_have_different_keys(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (recipe_key(one) == recipe_key(other)) == same


def test_recipe_key_is_the_same_in_another_process_and_pinned():
    # Origin: this code. Where it changes, everything that users have stored is computed again: only ever on purpose.
    recipe = {"weights": "abc", "size_px": 224, "crop": 0.875, "taps": ["stage1", "pooled"], "ü": None}
    code = f"from warmstart.store.key import recipe_key; print(recipe_key({dict(reversed(recipe.items()))!r}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert recipe_key(recipe) == other == "88505fbcb097346ff190f40f78a2dc6ddcd87ea06122259f3c349b51bebb6ed3"


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"a": float("nan")}, "recipe.a is nan"),
        ({"a": {"b": [1, float("inf")]}}, r"recipe.a.b\[1\] is inf"),
        ({"a": {1: "x"}}, "name 1 of type int"),
        ({"a": b"bytes"}, "recipe.a is a bytes"),
        ({"a": {1, 2}}, "recipe.a is a set"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(recipe, said):
    with pytest.raises(UsageError, match=said):
        recipe_key(recipe)


def test_row_key_tells_views_apart_and_keeps_the_digest():
    digest = bytes(range(16))
    assert row_key(digest, "plain") != row_key(digest, "flip")
    assert digest_of(row_key(digest, "plain")) == digest_of(row_key(digest, "flip")) == digest


@pytest.mark.parametrize(("digest", "view"), [(b"short", "plain"), (bytes(16), ""), (bytes(16), "Flip"), (bytes(16), "v" * 17)])
def test_a_wrong_digest_or_view_name_is_refused(digest, view):
    with pytest.raises(UsageError, match="expected"):
        row_key(digest, view)
