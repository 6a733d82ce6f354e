"""Rows of the table of bad input: what is no file, links, escape sequences, and numbers that no one can work with."""

from pathlib import Path
from typing import Any

from spoilt import (
    AHEAD,
    CHECKPOINTS,
    CUT,
    GENERATE,
    GIFT,
    MANIFEST,
    META,
    RUN,
    altered,
    both,
    classes,
    linked,
    listing,
    piped,
    with_fields,
    written,
)

from avalanche_gift.training.checkpoint_files import INDEX

RESULTS, INDEX_FILE = "out/zero-shot/seed-0/results.json", CHECKPOINTS / INDEX
TEST_PICTURE, OWN = "tasks/cold/test/blue/0.png", "out/finetune/seed-0"
ZERO_SHOT, REPORT = [*RUN, "--strategies", "zero-shot"], ["report", "out"]
PIPE = "a named pipe, not a file"
TEXTS_IN_A_PIPE = [*RUN, "--strategies", "zscl", "--set", "zscl.pictures=source", "zscl.texts=refs.txt"]
nothing = both()

PIPES = [
    ("pipe for classes", piped("tasks/cold/classes.json"), RUN, 2, rf"{PIPE}.*classes\.json"),
    ("pipe for an image of the source", piped("source/white.png"), GIFT, 2, r"line 2: there is no file 'white\.png'"),
    ("pipe for reference texts", piped("refs.txt"), TEXTS_IN_A_PIPE, 2, rf"{PIPE}.*refs\.txt"),
    ("pipe for results", piped(RESULTS), ZERO_SHOT, 2, f"{RESULTS}: expected a readable results file, got {PIPE}"),
    ("pipe in a report", piped(RESULTS), REPORT, 2, f"{RESULTS}: expected a readable results file, got {PIPE}"),
    ("pipe for a lock", piped(f"{OWN}/lock.json"), RUN, 2, rf"{PIPE}.*lock\.json"),
    ("pipe for the log", piped(f"{OWN}/log.txt"), RUN, 2, rf"{PIPE}.*log\.txt"),
    ("pipe for the scalars", piped(f"{OWN}/csv/scalars.csv"), RUN, 2, rf"{PIPE}.*scalars\.csv"),
    ("pipe for an index", piped(INDEX_FILE), CUT, 2, rf"index\.json: .*{PIPE}"),
    ("pipe for the settings of a store", piped(META), AHEAD, 2, f"'{META}': .*{PIPE}"),
    ("pipe for a manifest", piped(MANIFEST), AHEAD, 2, f"'{MANIFEST}': {PIPE}"),
    ("pipe for an image of a store", piped("ahead/task-00/00001.png"), AHEAD, 2, rf"00001\.png': .*{PIPE}"),
]  # fmt: skip

OUTSIDE = "tasks/precious.txt"
LINK, FOLDER = "a symbolic link, not a file", "expected a folder of this run's own"
LINKS = [
    (f"link for {name}", both(written(OUTSIDE, "a\n" * 99), linked(f"{OWN}/{name}", target)), RUN, 2, line)
    for name, target, line in (
        ("log.txt", OUTSIDE, rf"{LINK}.*log\.txt"),
        ("csv/scalars.csv", OUTSIDE, rf"{LINK}.*scalars\.csv"),
        ("csv/eval_results.csv", OUTSIDE, rf"{LINK}.*eval_results\.csv"),
        ("tensorboard/events.1", OUTSIDE, rf"{LINK}.*events\.1"),
        ("lock.json", OUTSIDE, rf"{LINK}.*lock\.json"),
        ("csv", "tasks", f"{FOLDER} at {OWN}/csv, got a link"),
        ("tensorboard", "tasks", f"{FOLDER} at {OWN}/tensorboard, got a link"),
        ("checkpoints", "tasks", f"checkpoints: {FOLDER}, got a symbolic link"),
    )
]

ESCAPE, ESCAPED = "\x1b[2Jevil\nname", r"\\x1b\[2Jevil(\\n| )name"
FOREIGN_LOCK = r'{"host": "\u001b[2Jevil\nname", "pid": 1, "since": 0}'
ESCAPES = [
    ("escape sequence in a task", both(*(written(f"tasks/{ESCAPE}/{part}/a/x.png", "") for part in ("train", "test"))),
     [*RUN, "--tasks", "clod"], 2, f"unknown task 'clod'.*{ESCAPED}"),
    ("escape sequence in an image's name", both(*(written(f"tasks/cold/train/blue/{ESCAPE}{n}.png", "no") for n in range(99))),
     RUN, 2, f"can't read tasks/cold/train/blue/{ESCAPED}"),
    ("escape sequence in a host", written(f"{OWN}/lock.json", FOREIGN_LOCK), RUN, 2, f"process 1 on {ESCAPED} has it"),
    ("escape sequence in results", with_fields(RESULTS, lambda found: {**found, ESCAPE: 1}), REPORT, 2, ESCAPED),
    ("escape sequence as an option", nothing, ["run", "--out", "new", f"--{ESCAPE}"], 2, ESCAPED),
]  # fmt: skip


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def results(what: str, fields: dict[str, Any], line: str) -> tuple[Any, ...]:
    """Results with other values in the file, and in its configuration."""
    config = fields.pop("config", {})
    spoil = with_fields(RESULTS, lambda found: {**found, **fields, "config": {**found["config"], **config}})
    return (f"results with {what}", spoil, REPORT, 2, f"{RESULTS}: {line}")


LIMIT = r"expected a number of at most 1e\+18 at \$\."
RESULT_VALUES = [
    results("huge seconds", {"seconds": 1e300}, LIMIT + r"seconds, got 1e\+300"),
    results("a huge whole number", {"peak_memory_bytes": 10**400}, LIMIT + "peak_memory_bytes, got 1000.*0000"),
    results("a huge setting", {"config": {"x": 10**400}}, r"expected a number of at most 9e\+18 at \$\.config\.x"),
    results("a deep setting", {"config": {"x": nested(300)}}, r"expected at most 20 levels of brackets at \$\.config\.x"),
    results("half a character", {"experiences": ["\ud800", "warm"]}, r"expected text in Unicode at \$\.experiences"),
    ("results with an endless number", altered(RESULTS, '"seed": ', '"seed": ' + "1" * 5000), REPORT, 2,
     f"{RESULTS}: expected JSON in UTF-8, got "),
    ("nested results", written(RESULTS, "[" * 100_000), REPORT, 2, f"{RESULTS}: expected JSON .* nested too deeply"),
]  # fmt: skip

HALVES = [
    ("half a character for a class", classes(r'{"names": {"blue": "\ud800"}}'), RUN, 2, "names that are no empty texts"),
    ("half a character in a prompt", listing(r'{"file": "white.png", "prompt": "\ud800"}', "prompts.jsonl"), GIFT, 2,
     r"line 1: expected a prompt in Unicode, got '\\ud800'"),
    ("class folder in no encoding", lambda patch: Path("tasks/cold/train/\udcff").mkdir(), RUN, 2,
     r"expected names of folders in UTF-8 in tasks/cold/train, got '\\udcff'"),
]  # fmt: skip

ENDLESS, MOST = "9" * 20, "of at most [0-9]+, got 9+"
RUN_NUMBERS = ("iterations", "batch-size", "eval-batch-size", "checkpoint-every", "images", "shots", "max-pictures")
MINI = [*GENERATE, "--source", "mini"]
NUMBERS = [
    *((f"endless {name}", nothing, [*RUN, f"--{name}", ENDLESS], 2, f"expected --{name} {MOST}") for name in RUN_NUMBERS),
    *((f"endless {name} of a store", nothing, [*GENERATE, f"--{name}", ENDLESS], 2, f"expected --{name} {MOST}")
      for name in ("images", "drawn", "batch-size", "attempts", "steps")),
    ("endless epochs", nothing, ["run", "--epochs", ENDLESS, "--out", "new"], 2, f"expected --epochs {MOST}"),
    ("99999 workers", nothing, [*RUN, "--workers", "99999"], 2, "expected --workers of at most 1024, got 99999"),
    ("guidance that is no number", nothing, [*MINI, "--guidance", "nan"], 2, "expected a finite guidance_scale, got nan"),
    ("infinite guidance", nothing, [*MINI, "--guidance", "inf"], 2, "expected a finite guidance_scale, got inf"),
    ("share that is no number", nothing, [*GENERATE, "--drop-lowest", "nan"], 2, "expected --drop-lowest from 0"),
    ("endless shards", nothing, [*GENERATE, "--shard", f"1/{'9' * 5000}"], 2, "expected --shard K/N"),
]  # fmt: skip

STORES = [
    ("altered settings of a store", altered(META, '"cold"', '"warm"'), AHEAD, 2,
     f"can't read '{META}': the checksum .*altered; put it back"),
    ("line without its checksum", altered(MANIFEST, ', "check": "', ', "tags": "'), AHEAD, 2, f"'{MANIFEST}', line 1: "),
    ("pipe for dropped images", piped("ahead/task-00/dropped.json"), AHEAD, 2, rf"dropped\.json': .*{PIPE}"),
]  # fmt: skip

HOSTILE_FILES = [*PIPES, *LINKS, *ESCAPES, *RESULT_VALUES, *HALVES, *NUMBERS, *STORES]
