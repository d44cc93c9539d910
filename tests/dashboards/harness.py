"""Asks a real server what the dashboards ask, and says what a user would find wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.backends import Backend, QueryError
from tests.dashboards.grafana import ALL, LABEL_VALUES, Choice, Dashboard, Expander, Target, Window, targets

SELECTOR = re.compile(r"\b(?P<metric>[a-z]\w+)\{(?P<matchers>[^{}]*)\}")


@dataclass(frozen=True)
class Series:
    """One line of a panel."""

    labels: Mapping[str, str]
    values: Sequence[float]

    @property
    def last(self) -> float:
        return self.values[-1]


@dataclass(frozen=True)
class Question:
    """A dashboard looked at by one user: a server, a time range, choices in the variables."""

    backend: Backend
    window: Window
    choices: Mapping[str, Choice]

    def ask(self, target: Target) -> list[Series]:
        """The data of one target, without what is not a number."""
        return self.evaluate(target.expr, instant=target.instant)

    def evaluate(self, expr: str, *, instant: bool = False) -> list[Series]:
        """Any query with the dashboards' variables."""
        found = self._get(expr, instant=instant)
        points = [(one["metric"], [one["value"]] if instant else one["values"]) for one in found]
        series = [Series(labels, [float(value) for _, value in values]) for labels, values in points]
        clean = [Series(one.labels, [value for value in one.values if not math.isnan(value)]) for one in series]
        return [one for one in clean if one.values]

    def raw(self, target: Target) -> list[dict[str, Any]]:
        """The data of one target as the server sent it."""
        return self._get(target.expr, instant=target.instant)

    def _get(self, expr: str, *, instant: bool) -> list[dict[str, Any]]:
        query = Expander(self.window, self.choices).expand(expr)
        span = {"start": self.window.start, "end": self.window.end, "step": self.window.interval}
        when = {"time": self.window.end} if instant else span
        found: list[dict[str, Any]] = self.backend.get("query" if instant else "query_range", query=query, **when)[
            "result"
        ]
        return found

    def has_data(self, expr: str) -> bool:
        """Whether every series an expression selects is there (so that an empty answer is the expression's fault)."""
        query = Expander(self.window, self.choices).expand(expr)
        return all(self._any(found[0]) for found in SELECTOR.finditer(query))

    def _any(self, selector: str) -> bool:
        span = f"{self.window.end - self.window.start:.0f}s"
        counted = self.backend.get("query", query=f"count(last_over_time({selector}[{span}]))", time=self.window.end)
        return bool(counted["result"])


def options(question: Question, boards: Sequence[Dashboard]) -> dict[str, list[str]]:
    """Runs every variable query as Grafana does, All chosen in the others: the values a user can choose."""
    found: dict[str, list[str]] = {}
    for board in boards:
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            parts = LABEL_VALUES.match(Expander(question.window, question.choices).expand(variable["query"]["query"]))
            if parts is None:
                raise LookupError(f"variable {variable['name']}: {variable['query']['query']}")
            values = question.backend.get(
                f"label/{parts['label']}/values",
                **{"match[]": parts["match"], "start": question.window.start, "end": question.window.end},
            )
            found[variable["name"]] = sorted(values)
    return found


def everything(boards: Sequence[Dashboard]) -> dict[str, Choice]:
    """All, in every variable."""
    return {
        variable["name"]: Choice((ALL,), variable["allValue"])
        for board in boards
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    }


def selections(values: Mapping[str, Sequence[str]], base: Mapping[str, Choice]) -> Iterator[dict[str, Choice]]:
    """Each single value of each variable, and all values of it at once; All in the others."""
    for name, each in values.items():
        for value in each:
            yield {**base, name: Choice((value,))}
        if len(each) > 1:
            yield {**base, name: Choice(tuple(each))}


def problems(question: Question, boards: Sequence[Dashboard], *, must_answer: bool) -> list[str]:
    """What is wrong with the panels: no data, a label missing, a value that cannot be.

    `must_answer`: every target must have data. Else a target may be empty where its series do not exist (no call of
    this operation ever failed).
    """
    wrong: list[str] = []
    for target in targets(boards):
        try:
            series = question.ask(target)
        except (QueryError, LookupError) as error:
            wrong.append(f"{target}: {error}")
            continue
        if not series and (must_answer or question.has_data(target.expr)):
            wrong.append(f"{target}: no data")
        wrong += [f"{target}: {text}" for text in _oddities(target, series, question.choices)]
    return wrong


def _oddities(target: Target, series: Sequence[Series], choices: Mapping[str, Choice]) -> Iterator[str]:
    for one in series:
        # A failure without an error type (a cancelled call) is drawn with that part of the legend empty.
        if missing := [label for label in target.labels if label not in one.labels and label != "error_type"]:
            yield f"no label {missing}"
        operation = one.labels.get("consul_operation")
        chosen = choices["operation"].values
        if operation and chosen != (ALL,) and operation not in chosen:
            yield f"shows {operation} where {chosen} was chosen"
        low, high = min(one.values), max(one.values)
        if low < -1e-9 or math.isinf(high):
            yield f"value {low}..{high}"
        if target.unit == "percentunit" and high > (64 if "process_cpu" in target.expr else 1 + 1e-9):
            yield f"a share of {high}"
    if target.format == "heatmap" and series and "+Inf" not in {one.labels.get("le") for one in series}:
        yield "no bucket +Inf"


def by_label(series: Sequence[Series], label: str) -> dict[str, float]:
    """The last value of each line, by one label."""
    return {one.labels[label]: one.last for one in series}


def mean(series: Series) -> float:
    """What the legends sort by."""
    return sum(series.values) / len(series.values)


def top(series: Sequence[Series], label: str) -> Any:
    """The label of the line that is highest in the mean: the first of the legend."""
    return max(series, key=mean).labels[label]
