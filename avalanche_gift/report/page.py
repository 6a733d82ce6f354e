"""Puts the page together. Nothing in it is fetched: style, script, charts and pictures are part of the file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any

from avalanche_gift.files import write_aside

from .columns import AVERAGE, mean_and_spread, ranked
from .experiments import Experiment, experiments_section
from .gather import Stream, gather
from .pictures import TASKS, Sheet, data_uri
from .streams import stream_section
from .tables import differing_settings, runs_to_compare, shared_settings, table_of_runs

CHARTED = 3
"""Streams that get charts: those with most runs. The tables show all."""


def write_page(
    path: Path,
    found: Iterable[tuple[Path, Mapping[str, Any]]],
    sheets: Sequence[Sheet] = (),
    experiments: Sequence[Experiment] = (),
) -> None:
    """Writes the report of results, given with the folder of each, of some pictures, and of the paper's tables and figures;
    aside, then renamed."""
    write_aside(path, page(gather(found), sheets, experiments).encode(errors="replace"))


def page(streams: Sequence[Stream], sheets: Sequence[Sheet], experiments: Sequence[Experiment] = ()) -> str:
    """The whole file. Of the sheets the first `TASKS` are shown."""
    style, script = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Belt and braces beside escaping: the browser runs this one script only and loads nothing.
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    body = "\n".join(
        [
            _header(streams),
            experiments_section(experiments),
            _charts(streams),
            _gallery(sheets),
            _settings(streams),
            _two_runs(streams),
        ]
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Continual fine-tuning: {_count(_runs(streams), "run")}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""


def summary(streams: Sequence[Stream]) -> str:
    """One plain sentence: how many runs, and which strategy has the highest Average on the largest streams."""
    if _runs(streams) == 1:
        run = streams[0].runs[0]
        average, last = (run.result["metrics"][name] for name in ("average", "last"))
        what = f"One run: {streams[0].rows[0].label} on {streams[0].label}, seed {run.seed},"
        return f"{what} has an Average of {average:.1f} % and ends at {last:.1f} % (Last)."
    strategies = _count(len({row.strategy for stream in streams for row in stream.rows}), "strategy", "strategies")
    what = f"{_count(_runs(streams), 'run')} of {strategies}"
    if len(streams) == 1:
        return f"{what} on {streams[0].label}: {_leader(streams[0])}."
    shown = _largest(streams)
    leaders = [f"{ranked(stream)[0].strategy} at {AVERAGE.mean(ranked(stream)[0]):.1f} % ({stream.label})" for stream in shown]
    rest = ["others below"] if len(streams) > len(shown) else []
    return f"{what} on {len(streams)} streams; highest Average: {', '.join([*leaders, *rest])}."


def _leader(stream: Stream) -> str:
    """Which row has the highest Average, and how far the next one is."""
    best, *rows = ranked(stream)
    others = [row for row in rows if not row.trained_at_once]
    values = AVERAGE.values(best)
    number, spread = mean_and_spread(values, AVERAGE.digits)
    over = f" {spread} % over {len(values)} seeds" if spread else " %"
    if not others:
        return f"{best.label} has an Average of {number}{over}"
    margin = fmean(values) - fmean(AVERAGE.values(others[0]))
    return f"{best.label} has the highest Average, {number}{over}, {margin:.1f} points above {others[0].label}"


def _header(streams: Sequence[Stream]) -> str:
    return f"""<h1>Continual fine-tuning</h1>
<p class="lead">{escape(summary(streams))}</p>
{table_of_runs(streams)}
<p class="note">Transfer: accuracy on tasks not learned yet. Average: over all tasks and times. Last: after the last task. All
three in percent, every task with the same weight, however many test images it has. Forgetting: the change in percentage points
since each task was last learned, negative where forgotten. Of these the highest is best, of the other columns the lowest; peak
memory has no mark, since on CPU it is that of the whole process, with what earlier runs left in it. Bold: best of its column on
its benchmark. Several seeds: mean ± sample standard deviation. Click a heading to sort.</p>"""


def _charts(streams: Sequence[Stream]) -> str:
    shown = _largest(streams)
    sections = [stream_section(stream) for stream in shown]
    if len(streams) > len(shown):
        sections.append(f'<p class="note">Charts of the {len(shown)} streams with most runs, of {len(streams)}.</p>')
    return "\n".join(sections)


def _gallery(sheets: Sequence[Sheet]) -> str:
    parts = ["<section><h2>Synthetic pictures</h2>"]
    if not sheets:
        parts.append('<p class="note">No store of pictures (<code>avalanche-gift generate</code>) lies in these folders.</p>')
    for sheet in sheets[:TASKS]:
        parts.append(f"<h3>{escape(sheet.title)} <small>{len(sheet.pictures)} of {sheet.count}</small></h3>")
        parts.append('<div class="gallery">')
        for picture, prompt, similarity in sheet.pictures:
            score = "" if similarity is None else f"<br><small>similarity {similarity:.3f}</small>"
            caption = f"<figcaption>{escape(prompt)}{score}</figcaption>"
            parts.append(f'<figure><img src="{data_uri(picture)}" alt="">{caption}</figure>')
        parts.append("</div>")
    if len(sheets) > TASKS:
        parts.append(f'<p class="note">{_count(len(sheets) - TASKS, "more task")} not shown.</p>')
    return "\n".join([*parts, "</section>"])


def _settings(streams: Sequence[Stream]) -> str:
    shared, differing = shared_settings(streams), differing_settings(streams)
    parts = ["<section><h2>Configuration and versions</h2>"]
    if differing:
        parts += ["<h3>What differs between runs</h3>", differing]
    elif _runs(streams) > 1:
        parts.append('<p class="note">Nothing differs between runs but strategy and seed.</p>')
    if shared:
        title = "The same in all runs" if _runs(streams) > 1 else "Of this run"
        parts.append(f"<details{'' if _runs(streams) > 1 else ' open'}><summary>{title}</summary>\n{shared}\n</details>")
    return "\n".join([*parts, "</section>"])


def _two_runs(streams: Sequence[Stream]) -> str:
    if _runs(streams) < 2:
        return ""
    return f"""<section id="two"><h2>Two runs side by side</h2>
<p class="choose"><label>First <select id="first"></select></label> <label>Second <select id="second"></select></label></p>
<div class="wide" tabindex="0"><table id="difference"></table></div>
<noscript><p class="note">Choosing needs JavaScript.</p></noscript>
<script type="application/json" id="data">{runs_to_compare(streams)}</script>
</section>"""


def _largest(streams: Sequence[Stream]) -> list[Stream]:
    chosen = sorted(streams, key=lambda stream: -len(stream.runs))[:CHARTED]
    return [stream for stream in streams if stream in chosen]


def _runs(streams: Sequence[Stream]) -> int:
    return sum(len(stream.runs) for stream in streams)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
