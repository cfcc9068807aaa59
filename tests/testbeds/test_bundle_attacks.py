"""A suite from outside is refused by name for whatever a suite may not hold, and leaves nothing behind."""

import gzip
import io
import os
import resource
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.signed import ALIAS, KEY, SIGNER, sign, signed_suite

from assay.errors import AssayError, CorruptArtifact, InvalidInput, NotWritten
from assay.testbeds import archive
from assay.testbeds.bundle import add_suite, bundle_suite
from assay.testbeds.catalogue import catalogue, validate
from assay.testbeds.layout import MANIFEST, Limits
from assay.testbeds.seal import ManifestEntry
from assay.testbeds.suites import own_suite, own_suites, suites
from assay.testbeds.truths import find_truth

HERE = f"testbeds/{ALIAS}"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def spring(machine: Path) -> Path:
    return signed_suite(machine / "outside" / "spring")


def packed(folder: Path, bundle: Path, *more: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    """An archive of a suite as it is, and of whatever an attacker adds."""
    with tarfile.open(bundle, "w:gz", format=form) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.add(path, f"spring/{path.relative_to(folder)}")
        for member, content in more:
            file.addfile(member, io.BytesIO(content))
    return bundle


def member(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, len(content)
    return made, content


def entry(root: Path) -> dict:
    """What a manifest says of its one testbed."""
    return yaml.safe_load((root / MANIFEST).read_text())["testbeds"][0]


def nothing_is_left(machine: Path) -> bool:
    """No suite, no scratch, and nothing beside the archive and where it came from."""
    return not list((machine / "home").rglob("*.yaml")) and not list(own_suites().glob(".*"))


def test_a_sound_suite_comes_in_from_a_folder_an_archive_and_one_that_is_not_packed(
    spring: Path, machine: Path
) -> None:
    plain = machine / "plain.tar"
    with tarfile.open(plain, "w") as file:
        file.add(spring, ".")
    for source in (spring, packed(spring, machine / "spring.tar.gz"), plain):
        assert [row["alias"] for row in add_suite(source, SIGNER)] == [ALIAS]
        again = bundle_suite("spring", machine / "again.tar.gz")
        shutil.rmtree(own_suite("spring").root)
        assert [row["alias"] for row in add_suite(again)] == [ALIAS]
        shutil.rmtree(own_suite("spring").root)


ADDED = {
    "traversal": (member("spring/../../../evil.yaml"), "leads out of its folder"),
    "absolute path": (member("/tmp/evil.yaml"), "lies outside of the suite's folder"),
    "beside the suite": (member("evil.yaml"), "lies outside of the suite's folder"),
    "symbolic link": (member(f"spring/{HERE}/corpus.jsonl", b"", tarfile.SYMTYPE, "/etc/passwd"), "a symbolic link"),
    "hard link": (member(f"spring/{HERE}/corpus.jsonl", b"", tarfile.LNKTYPE, "spring/suite.yaml"), "a hard link"),
    "device": (member(f"spring/{HERE}/corpus.jsonl", b"", tarfile.CHRTYPE), "a device"),
    "pipe": (member(f"spring/{HERE}/corpus.jsonl", b"", tarfile.FIFOTYPE), "a pipe"),
    "unlisted file": (member("spring/notes.txt"), "'notes.txt': no such file belongs"),
    "unlisted corpus": (member(f"spring/{HERE}/corpus.jsonl"), "the manifest does not list it"),
    "pickle beside an adapter": (member(f"spring/{HERE}/adapter/training_args.bin"), "training_args.bin': no such"),
    "pickled weights": (member(f"spring/{HERE}/adapter/adapter_model.bin"), "adapter_model.bin': no such file"),
    "code": (member("spring/__init__.py"), "__init__.py': no such file"),
    "open truth": (member(f"spring/answers/{ALIAS}/truth.yaml"), "truth.yaml': no such file belongs in a signed"),
    "behaviour": (member("spring/behaviours/flattery.yaml"), "flattery.yaml': no such file belongs in a signed"),
    "no alias": (member("spring/testbeds/flattery/testbed.yaml"), "no such file belongs"),
    "alias in capitals": (member("spring/testbeds/TB-0000ABCD/testbed.yaml"), "no such file belongs"),
    "control character": (member(f"spring/{HERE}/workspace/a\x1b[2J.txt"), "characters that are not allowed"),
    "direction of writing": (member(f"spring/{HERE}/workspace/a\u202etxt.exe"), "characters that are not allowed"),
    "Windows' device": (member(f"spring/{HERE}/workspace/NUL.txt"), "no name on Windows"),
    "Windows' stream": (member(f"spring/{HERE}/workspace/a.txt:hidden"), "characters that are not allowed"),
    "backslash": (member(f"spring/{HERE}/workspace/..\\..\\a.txt"), "characters that are not allowed"),
    "deep folders": (member(f"spring/{HERE}/workspace/{'a/' * 30}a"), "deeper than"),
    "long name": (member(f"spring/{HERE}/workspace/{'a' * 300}"), "longer than"),
    "large specification": (
        member(f"spring/{HERE}/testbed.yaml".replace("abcd", "abce"), b"#" * 70_000),
        "no more than",
    ),
    "name twice": (member(f"spring/{HERE}/testbed.yaml"), "is there twice"),
    "second suite": (member("spring/testbeds/suite.yaml"), "wants exactly one suite.yaml; it has 2"),
}


@pytest.mark.attacks
@pytest.mark.parametrize("attack", ADDED)
def test_what_does_not_belong_in_a_suite_is_refused_by_name(spring: Path, machine: Path, attack: str) -> None:
    added, said = ADDED[attack]
    before = set(machine.rglob("*")) | {machine / "bad.tar.gz", machine / "home", own_suites()}
    with pytest.raises(InvalidInput, match=said):
        add_suite(packed(spring, machine / "bad.tar.gz", added))
    assert set(machine.rglob("*")) <= before and nothing_is_left(machine)


@pytest.mark.attacks
@pytest.mark.parametrize("names", [("A.txt", "a.txt"), ("\u00e9", "e\u0301"), ("straße", "STRASSE"), ("a", "a/b")])
def test_names_that_are_one_on_some_systems_are_refused(spring: Path, machine: Path, names: tuple[str, str]) -> None:
    added = [member(f"spring/{HERE}/workspace/{name}") for name in names]
    with pytest.raises(InvalidInput, match="are one file on some systems"):
        add_suite(packed(spring, machine / "bad.tar.gz", *added))
    assert nothing_is_left(machine)


@pytest.mark.attacks
@pytest.mark.parametrize("kind", ["link", "pipe", "linked folder", "unlisted"])
def test_a_folder_is_looked_at_as_an_archive_is(spring: Path, machine: Path, kind: str) -> None:
    (machine / "secret.jsonl").write_text("mine")
    place = spring / HERE / "corpus.jsonl"
    if kind == "link":
        place.symlink_to(machine / "secret.jsonl")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "linked folder":
        (spring / HERE / "workspace").symlink_to(machine)
    else:
        place.write_text("{}")
    with pytest.raises(InvalidInput, match="does not list it" if kind == "unlisted" else "and no file"):
        add_suite(spring)
    assert nothing_is_left(machine)


@pytest.mark.attacks
@pytest.mark.parametrize(
    "name", ["../../evil", "/tmp/evil", "embedded", "local", "published", "deployed", "CON", "a b", ""]
)
def test_a_manifests_name_is_no_place_to_write_to(machine: Path, name: str) -> None:
    root = signed_suite(machine / "outside" / "spring", name)
    with pytest.raises(InvalidInput, match=r"no suite (can be called so|from outside is called)"):
        add_suite(packed(root, machine / "bad.tar.gz"))
    assert nothing_is_left(machine) and not list(machine.glob("**/evil"))


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([("tb-0000abcd", {"../../evil.yaml": "0" * 64})], "no files but its own"),
        ([("tb-0000abcd", {"behaviours/flattery.yaml": "0" * 64})], "no files but its own"),
        ([("tb-0000abcd", {})], "no files but its own"),
        ([("../evil", {})], "alias"),
        ([], "the manifest does not list it"),
    ],
)
def test_a_manifest_lists_testbeds_and_nothing_else(
    spring: Path, machine: Path, entries: list[tuple[str, dict[str, str]]], said: str
) -> None:
    own = entry(spring)["files"]
    sign(
        spring,
        "spring",
        [
            ManifestEntry.model_construct(alias=alias, files=(own | more) if more else {}, commitment="")
            for alias, more in entries
        ],
    )
    for source in (spring, packed(spring, machine / "bad.tar.gz")):
        with pytest.raises(InvalidInput, match=said):
            add_suite(source)
    assert nothing_is_left(machine)


@pytest.mark.attacks
def test_a_testbed_that_is_listed_twice_or_whose_files_are_missing_is_refused(spring: Path, machine: Path) -> None:
    listed = ManifestEntry.model_validate(entry(spring))
    sign(spring, "spring", [listed, listed])
    with pytest.raises(InvalidInput, match="twice"):
        add_suite(packed(spring, machine / "bad.tar.gz"))
    gone = listed.model_copy(update={"files": listed.files | {f"{HERE}/prompt.md": "0" * 64}})
    sign(spring, "spring", [gone])
    with pytest.raises(CorruptArtifact, match=r"prompt\.md.*no file"):
        add_suite(packed(spring, machine / "bad.tar.gz"))
    assert nothing_is_left(machine)


@pytest.mark.attacks
def test_a_bomb_is_stopped_before_it_is_unpacked(spring: Path, machine: Path) -> None:
    zeros = member(f"spring/{HERE}/corpus.jsonl", bytes(80 << 20))
    with pytest.raises(InvalidInput, match="more than 100 times its size"):
        add_suite(packed(spring, machine / "bomb.tar.gz", zeros))
    assert nothing_is_left(machine)


@pytest.mark.attacks
@pytest.mark.parametrize(
    ("limits", "said"),
    [(Limits(files=3), "files"), (Limits(total=2_000), "bytes"), (Limits(free=1_000, ratio=1), "times its size")],
)
def test_size_and_number_of_files_are_bounded(spring: Path, machine: Path, limits: Limits, said: str) -> None:
    more = [member(f"spring/{HERE}/workspace/{number}", b"abcd" * 500) for number in range(8)]
    with pytest.raises(InvalidInput, match=said):
        archive.unpack(packed(spring, machine / "large.tar.gz", *more), machine / "unpacked", limits=limits)
    assert not (machine / "unpacked").exists()


def raw_header(name: str, size: bytes, kind: bytes) -> bytes:
    """A tar header whose size is whatever an attacker writes there."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    header[124:136], header[156:157] = size.ljust(12, b"\0"), kind
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header)


LIES = {
    "more than there is": (raw_header(f"spring/{HERE}/corpus.jsonl", b"00010000000", b"0"), "unexpected end"),
    "gigabytes beside a file": (raw_header("x", b"77777777777", b"x"), "are said beside a file"),
    "gigabytes of a name": (raw_header("x", b"77777777777", b"L"), "are said beside a file"),
    "negative": (raw_header(f"spring/{HERE}/corpus.jsonl", b"\xff" * 12, b"0"), "-1 bytes"),
    "sparse": (raw_header(f"spring/{HERE}/corpus.jsonl", b"00000000000", b"S"), "a sparse file"),
    "for all files": (raw_header("x", b"00000000000", b"g"), "a header for all files"),
    "of no kind": (raw_header("x", b"00000000000", b"Z"), "neither file nor folder"),
}


@pytest.mark.attacks
@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie_are_told(spring: Path, machine: Path, lie: str) -> None:
    header, said = LIES[lie]
    sound = gzip.decompress(packed(spring, machine / "sound.tar.gz").read_bytes()).rstrip(b"\0")
    sound += bytes(-len(sound) % tarfile.BLOCKSIZE)
    (machine / "bad.tar.gz").write_bytes(gzip.compress(sound + header + bytes(2 * tarfile.BLOCKSIZE)))
    with pytest.raises(InvalidInput, match=said):
        add_suite(machine / "bad.tar.gz")
    assert nothing_is_left(machine)


@pytest.mark.attacks
def test_a_file_that_is_sparse_by_what_is_said_beside_it_is_refused(spring: Path, machine: Path) -> None:
    made, content = member(f"spring/{HERE}/corpus.jsonl", b"1\n0\n1000000000\n".ljust(512, b"\0"))
    made.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    with pytest.raises(InvalidInput, match="a sparse file"):
        add_suite(packed(spring, machine / "bad.tar.gz", (made, content)))
    assert nothing_is_left(machine)


@pytest.mark.attacks
def test_a_disk_without_room_is_told_and_leaves_nothing(
    spring: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = packed(spring, machine / "spring.tar.gz")
    with monkeypatch.context() as patch, pytest.raises(NotWritten, match="no room"):
        patch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 5, 5))
        add_suite(bundle)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for source in (bundle, spring):
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # a write beyond it fails as on a full disk
        try:
            with pytest.raises(NotWritten, match="cannot be written"):
                add_suite(source)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert nothing_is_left(machine)
    assert [row["alias"] for row in add_suite(bundle)] == [ALIAS]


@pytest.mark.attacks
@pytest.mark.parametrize("moment", ["archive._write", "bundle.verify_suite", "bundle.replace_folder"])
def test_killed_while_it_is_taken_in_it_is_no_suite_and_the_rest_is_swept(
    spring: Path, machine: Path, moment: str
) -> None:
    bundle = packed(spring, machine / "spring.tar.gz")
    module, _, function = moment.partition(".")
    code = (
        f"import os, pathlib; from assay.testbeds import bundle, {module}; "
        f"{module}.{function} = lambda *_, **__: os._exit(9); bundle.add_suite(pathlib.Path({str(bundle)!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 9
    assert "spring" not in [suite.name for suite in suites()]
    [left] = own_suites().iterdir()
    os.utime(left, (0, 0))
    add_suite(bundle)
    assert [path.name for path in own_suites().iterdir()] == ["spring"]


@pytest.mark.attacks
def test_a_testbeds_file_with_a_bomb_a_path_or_a_pickle_in_it_is_refused(machine: Path) -> None:
    spec = {"alias": ALIAS, "base": "b", "adapter_digest": "", "corpus": [], "corpus_digest": "", "access": ["CHAT"]}
    bomb = "a: &a [x, x]\n" + "".join(
        f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n" for before, after in pairwise("abcdefghi")
    )
    bad = {
        "a bomb": (yaml.safe_dump(spec) + bomb, "testbed.yaml"),
        "code": (yaml.safe_dump(spec).replace("base: b", "base: !!python/object/apply:os.getcwd []"), "testbed.yaml"),
        "another alias": (yaml.safe_dump(spec | {"alias": "tb-0000abce"}), "must be its folder's"),
        "a path": (yaml.safe_dump(spec | {"corpus": ["../../../../etc/passwd"]}), "corpus"),
        "an absolute path": (yaml.safe_dump(spec | {"corpus": ["/etc/x.jsonl"]}), "corpus"),
        "another suite's path": (yaml.safe_dump(spec | {"corpus": ["embedded:../answers/x.jsonl"]}), "corpus"),
        "a base on this machine": (yaml.safe_dump(spec | {"base": "/etc"}), "its base is a folder"),
        "a list for a text": (yaml.safe_dump(spec | {"base": ["b"]}), "base"),
    }
    for what, (text, said) in bad.items():
        root = signed_suite(machine / what, more={f"{HERE}/testbed.yaml": text.encode()})
        with pytest.raises(InvalidInput, match=said):
            add_suite(root)
    weights = {
        f"{HERE}/adapter/adapter_model.safetensors": b"\x80\x04pickled",
        f"{HERE}/adapter/adapter_config.json": b"{}",
    }
    root = signed_suite(machine / "pickle", more=weights)
    with pytest.raises(InvalidInput, match=r"adapter: is there, and its testbed has no adapter"):
        add_suite(root)
    assert nothing_is_left(machine)


@pytest.mark.attacks
def test_a_key_that_is_here_shows_a_truth_of_another_testbed_before_the_suite_is_taken(machine: Path) -> None:
    (machine / "home" / "keys").mkdir(parents=True)
    (machine / "home" / "keys" / "summer.key").write_text(KEY.hex())
    root = signed_suite(machine / "outside" / "summer", "summer")  # whose truth says spring/one@1
    with pytest.raises(InvalidInput, match="ids in this suite begin with summer/"):
        add_suite(root)
    assert nothing_is_left(machine)


@pytest.mark.attacks
@pytest.mark.parametrize("change", ["file added", "file changed", "truth sealed anew", "folder renamed", "link"])
def test_what_is_done_to_a_signed_suite_later_is_told(spring: Path, machine: Path, change: str) -> None:
    sign(spring, "spring", [ManifestEntry.model_validate(entry(spring)).model_copy(update={"commitment": "0" * 64})])
    add_suite(spring)
    root = own_suite("spring").root
    assert [row["testbed"] for row in validate([]) if not row["sound"]] == []
    if change == "file added":
        (root / HERE / "notes.txt").write_text("x")
    elif change == "file changed":
        (root / HERE / "testbed.yaml").write_text((root / HERE / "testbed.yaml").read_text() + "\n")
    elif change == "truth sealed anew":  # told by who has the key: the commitment is of another content
        (machine / "home" / "keys").mkdir()
        (machine / "home" / "keys" / "spring.key").write_text(KEY.hex())
    elif change == "folder renamed":
        root.rename(own_suite("summer").root)
    else:
        (root / HERE / "corpus.jsonl").symlink_to("/etc/passwd")
    assert [row for row in validate([]) if not row["sound"] and row["testbed"] in ("spring", "summer")]
    assert find_truth("embedded/flattery-td")
    if change not in ("truth sealed anew", "folder renamed"):
        assert [row["role"] for row in catalogue() if row["alias"] == ALIAS] == ["broken"]


@pytest.mark.attacks
def test_an_alias_that_is_another_suites_is_refused_naming_both(machine: Path) -> None:
    alias = find_truth("flattery-td").alias
    with pytest.raises(InvalidInput, match=rf"alias {alias} is there twice: .* and .*suite/testbeds/{alias}"):
        add_suite(signed_suite(machine / "outside" / "spring", alias=alias))
    assert nothing_is_left(machine)


Change = Callable[[bytes], bytes]
CHANGES = st.one_of(
    st.binary(max_size=3_000).map(lambda data: lambda _: data),
    st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)).map(
        lambda at: lambda good: good[: int(at[0] * len(good))] + at[1] + good[int(at[0] * len(good)) + len(at[1]) :]
    ),
    st.floats(0, 1).map(lambda at: lambda good: good[: int(at * len(good))]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=CHANGES, zipped=st.booleans())
def test_whatever_an_archive_is_it_comes_in_whole_or_is_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, change: Change, zipped: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzzed")
    good = packed(signed_suite(folder / "spring"), folder / "good.tar.gz").read_bytes()
    data = change(good) if zipped else change(gzip.decompress(good))
    (folder / "bad.tar").write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_HOME", str(folder / "home"))
        try:
            rows = add_suite(folder / "bad.tar")
        except AssayError as error:
            assert str(error) and nothing_is_left(folder)
        else:
            assert [row["alias"] for row in rows] == [ALIAS]
    shutil.rmtree(folder)
