"""Results of an experiment as files: JSON, a table or a figure; and the list of what there is to run."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from avalanche_gift.evaluation.published import published, published_what
from avalanche_gift.files import write_aside
from experiments import cells
from experiments.hours import seconds, total_seconds
from experiments.plan import World
from experiments.runner import Entry, all_runs, collect, entries, load


def write(name: str, world: World, seeds: Sequence[int], folder: Path, out: Path) -> str:
    """Writes NAME.json and, of a table NAME.md, of a figure NAME.svg and NAME.png; what was written as text."""
    module = load(name)
    collected = collect(name, world, seeds, folder)
    found = collected.found
    rows = [entry.row for entry, _ in found]
    departures, of_row = world.departures(rows), world.row_departures(rows)
    record: dict[str, Any] = {
        "experiment": name,
        "what": published_what(name),
        "world": world.name,
        "seeds": list(seeds),
        "protocol": " ".join(filter(None, [departures, texts_used(found), getattr(module, "NOTES", {}).get(world.name, "")])),
        "same_protocol": not departures,
        "not_there": collected.needs + collected.not_run,
        "versions": next((results[0]["versions"] for _, results in found if results), {}),
    }
    if name.startswith("figure"):
        from experiments.drawing import draw

        rows = [(entry, results, [folder / run for run in entry.runs]) for entry, results in found]
        own = getattr(module, "draw", None)
        record |= own(rows, world, out / name) if own else draw(module.panels(rows, world), out / name)
        text = f"{out / name}.svg and .png"
    else:
        view = getattr(module, "VIEW", cells.metrics)
        values = [view(entry.row, world, results) for entry, results in found]
        # A difference is printed in the rows whose settings are the protocol's.
        table, with_difference = (cells.beside(values, published(name), comparable=same) for same in (False, True))
        same = {label for label, different in of_row.items() if not different and world.iterations is None}
        table |= {row: with_difference[row] for row in table if row.split(", ")[0] in same}
        record["rows"] = cells.with_deltas(table, getattr(module, "DELTAS", {}))
        if note := getattr(module, "DELTA_NOTE", ""):
            record["deltas"] = note
        text = as_text(record)
        write_aside(out / f"{name}.md", text.encode())
    write_aside(out / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())
    return text


def texts_used(found: Sequence[tuple[Entry, Any]]) -> str:
    """In words, the reference texts of ZSCL's rows outside the embedded world; empty without such a row."""
    configs = [config for entry, _ in found for config in entry.runs.values() if config.strategy == "zscl"]
    used = {
        f"the captions of {config.options['texts']}"
        if isinstance(config.options.get("texts"), str)
        else "the 100 base prompts"
        if config.class_incremental
        else "the 1,000 ImageNet prompts"
        for config in configs
        if config.benchmark != "mini"
    }
    return f"ZSCL's texts: {' and '.join(sorted(used))}." if used else ""


def as_text(record: dict[str, Any]) -> str:
    """The Markdown of a table, from what its JSON holds."""
    module = load(record["experiment"])
    title = f"# {record['experiment'].replace('table', 'Table ')}, {record['world']}: {record['what']}"
    seeds = f"Percent; seeds {', '.join(map(str, record['seeds']))}." + (" Mean ± std." if len(record["seeds"]) > 1 else "")
    about = filter(None, [record["protocol"], seeds, record.get("deltas")])
    parts = [title, " ".join(about), cells.markdown(record["rows"], brackets=getattr(module, "BRACKETS", False))]
    if record["not_there"]:
        parts.append("Not there:\n\n" + "\n".join(f"- {line}" for line in record["not_there"]))
    return "\n\n".join(parts) + "\n"


def listing(names: Sequence[str], world: World, seeds: Sequence[int]) -> Iterator[str]:
    """Every run with its time and the tables that need it, then every experiment."""
    needed: dict[str, list[str]] = {}
    for name in names:
        for run in all_runs([name], world, seeds):
            needed.setdefault(run, []).append(name)
    runs = all_runs(names, world, seeds)
    unit = "minutes of one thread" if world.name == "mini" else "H100 hours"
    scale = 60 if world.name == "mini" else 3600
    for run, config in runs.items():
        yield f"{run:<36} {seconds(config) / scale:6.2f}  {' '.join(needed[run])}"
    total = total_seconds(runs.values()) / scale
    yield f"\n{len(runs)} runs, {total:.1f} {unit} (estimated: experiments/hours.py); how many of them each needs:"
    for name in names:
        module, own = load(name), all_runs([name], world, seeds)
        missing = sorted({entry.missing for entry in entries(name, world, seeds) if entry.missing})
        lacks = f"needs {', '.join(missing)}" if missing else ""
        if world.name not in module.WORLDS:
            lacks = f"not of this world, but of {', '.join(module.WORLDS)}"
        shared = sum(len(needed[run]) > 1 for run in own)
        hours = total_seconds(own.values()) / scale
        yield f"{name:<9} {len(own):3} runs, {shared:3} shared, {hours:6.1f} {unit}" + (f"; {lacks}" if lacks else "")
