"""Every panel and variable of every dashboard, against real servers fed by a real program with the plugin."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dashboards.conftest import Stage
from tests.dashboards.grafana import Dashboard, Target, targets
from tests.dashboards.harness import Question, by_label, options, problems, selections, top
from tests.dashboards.story import Range

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

BACKENDS = ("victoria", "prometheus")


@pytest.fixture(params=BACKENDS)
def question(request: pytest.FixtureRequest, stage: Stage) -> Question:
    found = getattr(stage, request.param)
    assert isinstance(found, Question)
    return found


def find(boards: list[Dashboard], panel: str, ref: str = "A") -> Target:
    return next(each for each in targets(boards) if each.panel.startswith(panel) and each.ref == ref)


def within(value: float, limits: Range) -> bool:
    return limits[0] <= value <= limits[1]


def test_every_target_answers_with_all_chosen(question: Question, boards: list[Dashboard]) -> None:
    assert problems(question, boards, must_answer=True) == []


def test_every_target_answers_for_each_value_of_each_variable(question: Question, boards: list[Dashboard]) -> None:
    wrong: list[str] = []
    for chosen in selections(options(question, boards), question.choices):
        wrong += problems(replace(question, choices=chosen), boards, must_answer=False)
    assert wrong == []


def test_variables_offer_what_was_called(stage: Stage, boards: list[Dashboard]) -> None:
    pushed, scraped = options(stage.victoria, boards), options(stage.prometheus, boards)
    assert set(pushed["operation"]) == set(scraped["operation"]) == stage.story.operations
    # Each pipeline has one of the two, which is why both variables exist and both may be All.
    assert (pushed["job"], pushed["service"]) == ([], [stage.story.service])
    assert (scraped["job"], scraped["service"]) == ([stage.story.service], [])


def test_a_renamed_metric_is_noticed(stage: Stage, boards: list[Dashboard]) -> None:
    wrong = problems(stage.renamed, boards, must_answer=True)
    # Only the panels that ask for that metric.
    silent = {text.removesuffix(": no data") for text in wrong}
    assert silent == {str(each) for each in targets(boards) if "consul_client_phase_time_seconds_total" in each.expr}


def test_the_first_row_names_the_culprit(question: Question, boards: list[Dashboard], stage: Stage) -> None:
    title = "Is it Consul"
    consul, network, own = (question.ask(find(boards, title, ref))[0].last for ref in "ABC")
    assert within(consul, stage.story.consul_share)
    assert consul + network + own == pytest.approx(1)


def test_the_first_row_says_how_bad_it_is(question: Question, boards: list[Dashboard], stage: Stage) -> None:
    p99, failed, stalled, oldest = (question.ask(find(boards, "How bad", ref))[0].last for ref in "ABCD")
    assert within(p99, stage.story.new_p99)  # of both releases: one call in a hundred is enough
    assert 0 < failed < stage.story.new_failed_share[1]
    assert stalled >= 1
    assert oldest > question.window.end - question.window.start


def test_the_stacks_are_topped_by_what_was_injected(question: Question, boards: list[Dashboard], stage: Stage) -> None:
    assert top(question.ask(find(boards, "Time by phase")), "consul_phase") == stage.story.top_phase
    assert top(question.ask(find(boards, "Local delay")), "consul_local_delay_cause") == stage.story.top_cause
    slowest = top(question.ask(find(boards, "Operations, by time")), "consul_operation")
    assert slowest == stage.story.slowest_operation
    bars = question.ask(find(boards, "Mean call by phase"))
    longest = [one for one in bars if one.labels["consul_operation"] == stage.story.slowest_operation]
    assert top(longest, "consul_phase") == stage.story.top_phase
    waited = by_label(longest, "consul_phase")[stage.story.top_phase]
    # The mean over both releases; the old one does not wait, and both call as often (the slow one a little less).
    assert within(waited, (0.4 * stage.story.slowest_wait, 0.7 * stage.story.slowest_wait))


def test_a_hung_call_climbs_one_second_per_second(question: Question, boards: list[Dashboard], stage: Stage) -> None:
    series = question.ask(find(boards, "Oldest open call"))
    assert top(series, "consul_operation") == stage.story.hung_operation
    hung = next(one for one in series if one.labels["consul_operation"] == stage.story.hung_operation)
    climbed = (hung.values[-1] - hung.values[len(hung.values) // 2]) / (len(hung.values) - 1 - len(hung.values) // 2)
    assert climbed / question.window.interval == pytest.approx(1, rel=0.25)
    stalled = [one for one in question.ask(find(boards, "Open calls", "B")) if one.values[-1] > 0]
    assert {one.labels["consul_operation"] for one in stalled} == {stage.story.hung_operation}
    assert {one.labels["consul_network_state"] for one in stalled} == {"acknowledged"}, (
        "it hangs on an agent that lives"
    )


def test_failures_retries_and_stale_reads(question: Question, boards: list[Dashboard], stage: Stage) -> None:
    story = stage.story
    failed = question.ask(find(boards, "Time-outs"))
    assert top(failed, "consul_operation") == story.failed_operation
    assert top(failed, "consul_outcome") == story.failed_outcome
    ended = {(one.labels["consul_operation"], one.labels["consul_outcome"]) for one in failed}
    assert {(story.cancelled_operation, "cancelled"), (story.erring_operation, "error")} < ended
    unstoppable = question.ask(find(boards, "Calls without a deadline"))
    assert {one.labels["consul_operation"] for one in unstoppable} == {story.no_deadline_operation}
    assert top(question.ask(find(boards, "Retries")), "consul_operation") == story.retried_operation
    assert top(question.ask(find(boards, "Blocking queries", "B")), "consul_operation") == story.late_operation
    contact = question.ask(find(boards, "Stale and leaderless"))
    # The peak: two readers in one process take the value from each other (docs/telemetry.md), so it comes and goes.
    assert within(max(max(one.values) for one in contact), story.last_contact)
    leaderless = question.ask(find(boards, "Stale and leaderless", "B"))
    assert top(leaderless, "consul_operation") == story.leaderless_operation


def test_the_new_release_is_worse(question: Question, boards: list[Dashboard], stage: Stage) -> None:
    story = stage.story
    table = {ref: by_label(question.ask(find(boards, "Releases", ref)), "service_version") for ref in "ABCDE"}
    assert all(set(column) == {story.old_release, story.new_release} for column in table.values())
    old = {ref: column[story.old_release] for ref, column in table.items()}
    new = {ref: column[story.new_release] for ref, column in table.items()}
    assert within(old["A"], story.old_p99)
    assert within(new["A"], story.new_p99)
    assert new["B"] > old["B"]
    assert within(new["C"], story.new_failed_share)
    assert old["D"] == 0
    assert within(new["D"], story.new_no_deadline_share)
    lines = by_label(question.ask(find(boards, "P99 by release")), "service_version")
    assert within(lines[story.old_release], story.old_p99)
    assert within(lines[story.new_release], story.new_p99)


def test_blocking_queries_are_in_no_latency_panel(question: Question, boards: list[Dashboard]) -> None:
    # The feed's blocking queries last 2 and 5 s, no other call that ends lasts 1 s: one in a latency panel would show.
    for panel, ref in (("Operations, by time", "C"), ("P99 by release", "A"), ("Releases", "A")):
        assert max(one.last for one in question.ask(find(boards, panel, ref))) < 1
    heat = by_label(question.ask(find(boards, "Call duration")), "le")
    numbers = {("+Inf" if le == "+Inf" else float(le)): value for le, value in heat.items()}
    assert numbers["+Inf"] == pytest.approx(numbers[1.0])
