"""Names from outside: which are names at all, which is meant, and which are one on some system."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.errors import InvalidInput
from assay.testbeds.names import colliding, is_suite_name, not_portable, pick


@pytest.mark.parametrize("name", ["embedded", "a", "my-team", "a.b_c", "0"])
def test_what_a_suite_can_be_called(name: str) -> None:
    assert is_suite_name(name)


@pytest.mark.attacks
@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "A", "-a", "a.", "a b", "a\n", "con", "nul.x", "com1", "a" * 65, "é", "~", "a\0"]
)
def test_what_no_suite_is_called(name: str) -> None:
    assert not is_suite_name(name)


IDS = ["a/x@1", "a/x@2", "a/x@10", "b/y@1", "a/z@1", "b/z@3"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("a/x@1", "a/x@1"),
        ("a/x", "a/x@10"),
        ("x", "a/x@10"),
        ("x@2", "a/x@2"),
        ("b/z", "b/z@3"),
        ("z@3", "b/z@3"),
        ("w", None),
        ("a", None),
        ("x@3", None),
        ("", None),
    ],
)
def test_a_name_without_a_version_is_the_newest(name: str, meant: str | None) -> None:
    assert pick(name, IDS) == meant == pick(name, reversed(IDS))


def test_a_name_that_two_suites_have_is_not_guessed() -> None:
    with pytest.raises(InvalidInput, match="may be a/z@1 or b/z@3"):
        pick("z", IDS)


@given(st.text(max_size=40))
@example("0\xa00")
def test_a_portable_path_stays_in_its_folder(path: str) -> None:
    if not not_portable(path):
        assert not path.startswith("/") and path.isprintable()
        assert not {"", ".", ".."} & set(path.split("/")) and "\\" not in path


@given(st.lists(st.text("aAbBéÉ/", min_size=1, max_size=4), max_size=6, unique=True))
def test_paths_apart_in_case_alone_collide(paths: list[str]) -> None:
    sound = [path for path in paths if not not_portable(path)]
    lowered = [path.lower() for path in sound]
    if len(set(lowered)) < len(lowered):
        assert colliding(sound)
    apart = [f"{number}/{path}" for number, path in enumerate(lowered)]
    if all(path.count("/") == 1 for path in apart):
        assert colliding(apart) == []
