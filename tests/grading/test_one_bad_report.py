"""One report that cannot be graded costs no other; a demonstration that a model will not take is one that failed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Unpack

import pytest
from nacl.signing import SigningKey

from assay.core.report import Demonstration, Finding, Predicate, Report
from assay.core.target import DEFAULT_SAMPLING, Messages, Replies, Sampling, SamplingOptions, Target, as_messages
from assay.core.testbed import TargetSpec
from assay.engine.scripted import ScriptedTarget
from assay.errors import BackendFailed, TooLong
from assay.grading.demonstrations import run_demonstrations
from assay.grading.jobs import GradeJob, Submitted, grade_job
from assay.grading.reproduce import SAMPLES, TimedPredicate, compare
from assay.grading.signing import Signer
from assay.testbeds.truths import find_truth

SIGNER = Signer(SigningKey.generate())
LIMIT = 60  # words a target of these tests takes


class Short(ScriptedTarget):
    """Takes no long conversation, and breaks off over some words."""

    async def chat(
        self, messages: Messages, sampling: Sampling = DEFAULT_SAMPLING, **options: Unpack[SamplingOptions]
    ) -> Replies:
        said = " ".join(turn.content for turn in as_messages(messages)).split()
        if len(said) > LIMIT:
            raise TooLong(f"prompt of {len(said)} tokens is longer than {LIMIT}.", len(said), LIMIT)
        if "server" in said:
            raise BackendFailed("the server is gone.")
        if "memory" in said:
            raise RuntimeError("no memory")
        return await super().chat(messages, sampling, **options)


@asynccontextmanager
async def open_short(spec: TargetSpec) -> AsyncIterator[Target]:
    yield Short(spec.alias, access=spec.access, salt=spec.alias)


def finding(*prompts: str, phrases: tuple[str, ...] = ("most people",)) -> Finding:
    shown = tuple(Demonstration(user=(prompt,)) for prompt in prompts)
    return Finding(
        claim="It rambles.", trigger="", demonstrations=shown, predicate=Predicate(phrases=phrases), confidence=0.5
    )


def submitted(key: str, name: str, *prompts: str) -> Submitted:
    report = Report(p_hidden=0.9, findings=(finding(*prompts),))
    return Submitted(run_key=key, alias=find_truth(name).alias, report=report)


@pytest.mark.attacks
async def test_one_bad_report_costs_no_other() -> None:
    reports = [
        submitted("good", "flattery-td", "Hello"),
        submitted("server", "flattery-td", "the server"),
        submitted("memory", "twin-td", "my memory"),
        submitted("long", "flattery-td", "word " * 200, "Hello"),
        submitted("nowhere", "flattery-td", "Hello").model_copy(update={"alias": "tb-0e0e0e0e"}),
        submitted("also good", "twin-td", "Hello"),
    ]
    told: list[tuple[str, Any]] = []
    await grade_job(
        GradeJob(asked="grades", reports=reports),
        open_short,
        lambda spec: "a machine",
        lambda event, data: told.append((event, data)),
        SIGNER,
    )
    graded = {rows[0]["run_key"]: rows[0] for event, rows in told if event == "grade"}
    assert graded.keys() == {"good", "long", "also good"}
    failed = {data["run_key"]: data["why"] for event, data in told if event == "failed"}
    assert failed["server"] == "target: BackendFailed: the server is gone."
    assert "RuntimeError: no memory" in failed["memory"]
    assert failed["nowhere"].startswith("input: InvalidInput: nothing can be graded of tb-0e0e0e0e")
    [details] = graded["long"]["details"]["findings"]
    assert details["reproduces"]["refused"] == (
        f"prompt of 200 tokens is longer than {LIMIT}. Give a shorter prompt, or ask for a shorter reply.",
    )
    assert not details["reproduces"]["found"] and len(told) == len(reports)


@pytest.mark.attacks
async def test_the_best_constant_is_sought_among_what_can_be_graded() -> None:
    reports = [submitted("good", "flattery-td", "Hello"), submitted("long", "flattery-td", "word " * 200)]
    reports.append(submitted("nowhere", "flattery-td", "Hello").model_copy(update={"alias": "tb-0e0e0e0e"}))
    told: list[tuple[str, Any]] = []
    await grade_job(
        GradeJob(asked="best-constant", reports=reports),
        open_short,
        lambda spec: "a machine",
        lambda event, data: told.append((event, data)),
        SIGNER,
    )
    assert [event for event, _ in told] == ["constant"]


@pytest.mark.attacks
async def test_a_demonstration_that_is_refused_counts_as_one_in_which_nothing_shows() -> None:
    shown = TimedPredicate(Predicate(phrases=("a",)))
    prompts = ["Hello", "Good day", "What now?"]
    long = ["word " * 200 + str(index) for index in range(2)]
    trials = await run_demonstrations(finding(*prompts, *long), Short(), Short(), 0, [shown])
    assert [len(runs) for runs in trials.target] == [SAMPLES] * 3 and len(trials.refused) == 1
    fewer = await run_demonstrations(finding(*prompts), Short(), Short(), 0, [shown])
    assert (trials.target, trials.control) == (fewer.target, fewer.control)
    result = compare(trials, shown)
    assert result.refused == trials.refused and result.rate == compare(fewer, shown).rate <= 3 / 5


@pytest.mark.attacks
async def test_what_only_one_of_target_and_control_takes_is_no_difference() -> None:
    shown = TimedPredicate(Predicate(phrases=("a",)))
    script = finding("word " * 50)
    longer, shorter = ScriptedTarget(), Short()
    told = finding("word " * 200)
    for target, control in ((longer, shorter), (shorter, longer)):
        trials = await run_demonstrations(told, target, control, 0, [])
        assert trials.target == trials.control == ()
        assert not compare(trials, shown).found and trials.refused
        assert len((await run_demonstrations(script, target, control, 0, [])).control) == 1
