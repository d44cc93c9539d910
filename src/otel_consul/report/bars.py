"""A bar of where time went, that reads the same without colour: the rank of a part is its shade, the legend names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.text import Text

from otel_consul.report.wording import PHASE_WORDS, percent

WIDTH: Final = 28
SHADES: Final = "█▓▒░"
"""Largest part first; the last stands for all that remain."""
COLOURS: Final[Mapping[str, str]] = {
    "pool": "yellow",
    "dns": "magenta",
    "connect": "cyan",
    "tls": "bright_cyan",
    "send": "green",
    "wait": "bright_blue",
    "receive": "bright_magenta",
    "decode": "bright_green",
}
REST_COLOUR: Final = "bright_black"
LEGEND_WIDTH: Final = 43
"""What 80 columns leave beside the bar."""
LEAST: Final = 0.01
"""Smaller parts are not worth a word."""


def cells(shares: list[float], width: int = WIDTH) -> list[int]:
    """Whole cells for each share, together `width`, none further than one cell from its due."""
    exact = [share * width / sum(shares) for share in shares]
    whole = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: whole[index] - exact[index])
    missing = width - sum(whole)
    for index in by_remainder[: max(0, missing)]:
        whole[index] += 1
    return whole


def bar(shares: Mapping[str, float]) -> Text:
    """The bar and its legend: `██████▓▓▒  wait 71 % · pool 25 % · other 4 %`."""
    named = sorted(((share, name) for name, share in shares.items() if share >= LEAST), reverse=True)
    shown = _merged(named, len(SHADES))
    if len(_legend(shown)) > LEGEND_WIDTH:
        shown = _merged(named, len(SHADES) - 1)
    return _shaded(shown).append("  ").append_text(_legend(shown))


def dominant(shares: Mapping[str, float]) -> Text:
    """The bar with two parts, and the first of them in plain words: `█████████▓▓▓  76 % opening a connection`."""
    name, share = max(shares.items(), key=lambda item: item[1])
    line = _shaded([(share, name), (1 - share, "rest")] if share else [])
    return line.append(f"  {percent(share)} ").append(PHASE_WORDS[name])


def _shaded(shown: list[tuple[float, str]]) -> Text:
    line = Text()
    lengths = cells([share for share, _ in shown]) if shown else []
    for shade, (_, name), length in zip(SHADES, shown, lengths, strict=False):
        line.append(shade * length, COLOURS.get(name, REST_COLOUR))
    return line.append(" " * (WIDTH - len(line)))


def _merged(named: list[tuple[float, str]], limit: int) -> list[tuple[float, str]]:
    """The largest, and what remains as one."""
    if len(named) <= limit:
        return named
    return [*named[: limit - 1], (sum(share for share, _ in named[limit - 1 :]), "rest")]


def _legend(named: list[tuple[float, str]]) -> Text:
    words = (
        Text(f"{name} ", COLOURS.get(name, REST_COLOUR)).append(percent(share), "default") for share, name in named
    )
    return Text(" · ", "dim").join(words)
