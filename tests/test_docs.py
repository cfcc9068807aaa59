"""The pages keep their word: they build, lead somewhere, and name commands, paths and variables that there are."""

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
import yaml

from assay.audits.conformance.tool_checks import check_tool
from assay.audits.plugin_file import load_plugin
from assay.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "assay"
# Decisions are of their time: what they name may be gone
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("how-to/*.md"))]
PAGES.remove(DOCS / "SUMMARY.md")  # the site's table of contents, globs among its links; `make docs` follows them
FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*)\n(?P<body>.*?)^(?P=fence)\s*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PLACEHOLDER = re.compile(r"[<>*…{}]|\b[A-Z]{2,}\b")
ROOTS = ("src", "tests", "docs", "bench", "examples", "packages", ".ci")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ── commands ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def command_lines(text: str) -> Iterator[str]:
    """Every line in a fence that runs `assay`, with the lines it goes on in."""
    for fence in FENCE.finditer(text):
        if fence["language"] in ("", "sh", "bash", "console"):
            for line in fence["body"].replace("\\\n", " ").splitlines():
                yield from (part.strip() for part in line.split("&&") if re.match(r"\s*(\$ )?assay\s", part))


def words_of(line: str) -> list[str]:
    """The words of a command line after `assay`, up to a comment, a pipe or a redirection."""
    words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
    ends = [index for index, word in enumerate(words) if word in ("|", ">", ";", "2>")]
    return words[: ends[0]] if ends else words


def refusal(words: list[str], complete: bool) -> str:
    """Why the command line would not take these words, "" if it would; nothing is run, and no value is looked at.

    Args:
        words: after `assay`.
        complete: whether required options and arguments must be there, too.
    """
    command, path = typer.main.get_command(app), ["assay"]
    context = command.context_class(command, info_name="assay", **command.context_settings)
    while below := getattr(command, "commands", None):
        if not words or words[0].startswith("-"):
            return (
                "" if getattr(command, "invoke_without_command", False) or not complete else f"{path} needs a command"
            )
        if words[0] not in below:
            return f"{' '.join(path)} has no command {words[0]!r}; it has: {', '.join(below)}"
        path.append(words[0])
        command, words = below[words[0]], words[1:]
        context = command.context_class(command, info_name=path[-1], parent=context, **command.context_settings)
    try:
        given, rest, _ = command.make_parser(context).parse_args(list(words))
    except Exception as error:  # typer carries a click of its own in some versions, so its errors have no one name
        return f"{' '.join(path)}: {error}"
    if rest and not context.allow_extra_args:
        return f"{' '.join(path)}: {rest} is too much"
    missing = [item.name for item in command.params if item.required and given.get(item.name) in (None, (), [])]
    return f"{' '.join(path)} needs {', '.join(map(str, missing))}" if missing and complete else ""


FENCED = [(path, line) for path in PAGES for line in command_lines(path.read_text(encoding="utf-8"))]
IDS = [f"{name_of(path)}: {' '.join(words_of(line))}" for path, line in FENCED]


@pytest.mark.parametrize(("path", "line"), FENCED, ids=IDS)
def test_a_command_in_a_fence_parses(path: Path, line: str) -> None:
    assert not refusal(words_of(line), complete=True)


def test_commands_at_the_head_of_examples_parse() -> None:
    lines = [line for path in sorted((ROOT / "examples").glob("*.py")) for line in path.read_text().splitlines()]
    commands = [line for line in lines if line.startswith("assay ")]
    assert len(commands) >= 4
    assert not [f"{line}: {why}" for line in commands if (why := refusal(words_of(line), complete=True))]


# What an MCP server's tools do is tried in tests/audits/test_outside_tools.py: each call starts a process.
TOOL_FILES = [
    ROOT / "examples" / name
    for name in ("my_tool.py", *(f"{at}/tools.py" for at in ("inspect", "prepared", "white_box")))
]


@pytest.mark.parametrize("path", TOOL_FILES, ids=name_of)
async def test_a_tool_of_the_how_to_conforms(path: Path) -> None:
    assert name_of(path) in (DOCS / "how-to" / "write-a-tool.md").read_text(encoding="utf-8")
    for tool in load_plugin(path).tools:
        checks = await check_tool(tool, null_runs=2, file=path)
        assert len(checks) >= 9 and not [check for check in checks if not check.passed]


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_command_within_a_sentence_exists(path: Path) -> None:
    prose = FENCE.sub("", path.read_text(encoding="utf-8"))
    named = [words_of(code) for code in CODE.findall(prose) if re.match(r"assay [a-z]", code)]
    assert not [f"assay {' '.join(words)}: {why}" for words in named if (why := refusal(words, complete=False))]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("assay nonsense", "no command 'nonsense'"),
        ("assay tools nonsense", "no command 'nonsense'"),
        ("assay sweep --nonsense 1", "nonsense"),
        ("assay grade one two", "too much"),
        ("assay tools check", "needs"),
    ],
)
def test_a_command_that_does_not_parse_is_noticed(line: str, why: str) -> None:
    assert why in refusal(words_of(line), complete=True)


# ── paths and links ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", [*PAGES, *sorted(DOCS.glob("decisions/*.md"))], ids=name_of)
def test_a_link_leads_to_a_file(path: Path) -> None:
    prose = CODE.sub("", FENCE.sub("", path.read_text(encoding="utf-8")))  # code may call what stands in brackets
    links = [link for link in LINK.findall(prose) if "://" not in link]
    made = DOCS / "api"  # written by the build
    assert not [
        link for link in links if not (path.parent / link).exists() and made not in (path.parent / link).parents
    ]
    if DOCS in path.parents:
        assert not [link for link in links if not (path.parent / link).resolve().is_relative_to(DOCS)], (
            "leaves the site"
        )


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_a_path_in_code_exists(path: Path) -> None:
    codes = CODE.findall(FENCE.sub("", path.read_text(encoding="utf-8")))
    paths = [code for code in codes if code.split("/")[0] in ROOTS and not PLACEHOLDER.search(code) and " " not in code]
    assert not [code for code in paths if not (ROOT / code).exists()]


def test_the_map_has_every_room() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    for page in (ROOT / "CONTRIBUTING.md", DOCS / "architecture.md"):
        text = page.read_text(encoding="utf-8")
        assert not [room for room in rooms if not re.search(rf"\b{room}\b|`{room}`", text)], page


# ── environment variables ────────────────────────────────────────────────────────────────────────────────────────────


def read_variables(tree: ast.Module) -> Iterator[str]:
    """Names of the environment variables that a module reads, and every ASSAY_ name in a string of its code."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\bASSAY_[A-Z_]+\b", node.value)
        if isinstance(node, ast.Call) and node.args and re.search(r"(environ\.\w+|getenv)$", ast.unparse(node.func)):
            key: ast.expr | None = node.args[0]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("environ"):
            key = node.slice
        else:
            continue
        if isinstance(key, ast.Name) and key.id in constants:
            yield str(constants[key.id])
        elif isinstance(key, ast.Constant):
            yield str(key.value)
        else:
            pytest.fail(f"line {node.lineno}: name the variable by a string or a constant of the module")


def tables() -> dict[str, set[str]]:
    """Variables of docs/environment.md by the section their table is in."""
    sections = re.split(r"^Set by |^Read by tests ", (DOCS / "environment.md").read_text(encoding="utf-8"), flags=re.M)
    names = [set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)) for section in sections]
    return dict(zip(("read", "set", "tests"), names, strict=True))


def test_variables_are_read_by_whatever_means() -> None:
    code = 'import os\nA = "ONE"\nos.environ.get(A)\nos.environ["TWO"]\nos.getenv("THREE")\nB = "see ASSAY_FOUR"'
    assert set(read_variables(ast.parse(code))) == {"ONE", "TWO", "THREE", "ASSAY_FOUR"}


def test_every_variable_is_in_the_table_and_every_row_is_a_variable() -> None:
    found = set()
    for path in SOURCE.rglob("*.py"):
        found |= set(read_variables(ast.parse(path.read_text(encoding="utf-8"))))
    assert found == tables()["read"]


def test_variables_of_the_makefile_and_of_tests_are_in_their_tables() -> None:
    exported = re.findall(r"^export (\w+)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(exported) == tables()["set"]
    asked = re.compile(r"\bASSAY_[A-Z_]+\b")
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    assert set(asked.findall("\n".join(texts))) - tables()["read"] == tables()["tests"]


# ── the picture and the site ─────────────────────────────────────────────────────────────────────────────────────────


def script(name: str) -> object:
    spec = importlib.util.spec_from_file_location(name, DOCS / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("source", sorted(DOCS.glob("pictures/*.yaml")), ids=name_of)
def test_a_picture_is_what_its_text_says(source: Path) -> None:
    drawn = script("draw").draw(yaml.safe_load(source.read_text(encoding="utf-8")))  # type: ignore[attr-defined]
    assert source.with_suffix(".svg").read_text(encoding="utf-8") == drawn, "run docs/scripts/draw.py"


def test_the_picture_names_folders_that_there_are() -> None:
    picture = yaml.safe_load((DOCS / "pictures" / "house.yaml").read_text(encoding="utf-8"))
    assert not [box["folder"] for box in picture["boxes"] if "folder" in box and not (SOURCE / box["folder"]).is_dir()]


class Fetched(HTMLParser):
    """What a browser fetches by itself to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.addresses.append(of.get("src") or "")
        if tag == "link" and of.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(of.get("href") or "")
        self.addresses += re.findall(r"url\(([^)]*)\)", of.get("style") or "")


def build(folder: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "docs/scripts/build.py"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built from a copy, so that nothing is left in the checkout."""
    if importlib.util.find_spec("zensical") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("needs the extra `docs`")
    copy = tmp_path_factory.mktemp("docs")
    shutil.copy(ROOT / "mkdocs.yml", copy)
    shutil.copytree(DOCS, copy / "docs", ignore=shutil.ignore_patterns("api"))
    shutil.copytree(SOURCE, copy / "src" / "assay", ignore=lambda folder, names: unread(Path(folder), names))
    done = build(copy)
    assert done.returncode == 0, done.stdout + done.stderr
    return copy / "site"


@pytest.mark.parametrize(
    ("page", "docstring", "complaint"),
    [
        ("[There](nowhere.md)", "Do it.", "[There](nowhere.md)"),
        ("Words.", "Do it.\n\n    Args:\n        other: what there is not.\n    ", "'other' does not appear"),
        ("Words.", "Do it.", ""),
    ],
)
def test_the_build_refuses_dead_links_and_docstrings_that_do_not_fit(
    tmp_path: Path, page: str, docstring: str, complaint: str
) -> None:
    pytest.importorskip("zensical", reason="needs the extra `docs`")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS / "scripts", tmp_path / "docs" / "scripts")
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n{page}\n")
    (tmp_path / "docs" / "SUMMARY.md").write_text("- [Home](index.md)\n- [API](api/)\n")
    module = tmp_path / "src" / "assay" / "core" / "module.py"
    module.parent.mkdir(parents=True)
    for folder in (module.parent, module.parent.parent):
        (folder / "__init__.py").touch()
    module.write_text(f'"""A module."""\n\n\ndef act(given: int) -> int:\n    """{docstring}"""\n    return given\n')
    done = build(tmp_path)
    assert done.returncode == (1 if complaint else 0), done.stdout + done.stderr
    assert complaint in done.stdout


def unread(folder: Path, names: list[str]) -> list[str]:
    """What the build does not read: everything but Python."""
    return [name for name in names if (folder / name).is_file() and not name.endswith(".py")]


def test_the_site_has_a_page_for_each_public_module_and_shows_no_private_name(site: Path) -> None:
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            assert (site / "api" / Path(*parts) / "index.html").is_file()
    for page in (site / "api").rglob("index.html"):
        assert not re.findall(r'id="assay\.(?:\w+\.)*_\w+"', page.read_text(encoding="utf-8")), page


def test_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses, page
        assert not [at for at in parser.addresses if re.match(r"(?:[a-z]+:)?//", at)], page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_what_a_page_would_fetch_is_noticed() -> None:
    parser = Fetched()
    parser.feed('<link rel=stylesheet href="https://fonts.example/a.css"><script src="//cdn.example/b.js"></script>')
    assert parser.addresses == ["https://fonts.example/a.css", "//cdn.example/b.js"]
