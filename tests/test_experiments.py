"""The paper's tables and figures as commands: their runs, what they share, and our values beside the paper's."""

import dataclasses
import json
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from safetensors.torch import save_file
from world import made_stream, tiny_model

from avalanche_gift.benchmarks.class_names import class_names, templates
from avalanche_gift.by_name import load_source
from avalanche_gift.cli import parser
from avalanche_gift.cli_run import _configs
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import continual_metrics, write_results
from avalanche_gift.evaluation.published import published, published_conventional, published_what
from avalanche_gift.generation.store import TaskFolder
from avalanche_gift.models.mini import mini_clip
from avalanche_gift.prompts import training_prompts
from avalanche_gift.strategy_arguments import own_arguments
from experiments import cells, check, drawing, hours, runner, sheets, surface
from experiments.command import arguments_of, go, main
from experiments.plan import NotPossible, Row, World, run_name
from experiments.runner import NAMES, Entry, all_runs, collect, entries, load, shard
from experiments.writing import as_text, listing, write

MINI = World("mini")
FULL = {name: World(name, data="data", sources=check._Any()) for name in ("mtil", "cil")}
WORLDS = {"mini": MINI, **FULL}


def made_up(config: RunConfig, base: float = 50.0) -> dict:
    """Results of a run that nobody made: task j after i tasks has base + i + j / 10 percent."""
    tasks = config.tasks or ("shapes", "textures", "digits", "land", "letters", "icons")
    accuracy = [[base + i + j / 10 for j in range(len(tasks))] for i in range(len(tasks) + 1)]
    return {
        "schema_version": 1,
        "strategy": config.strategy,
        "seed": config.seed,
        "benchmark": config.benchmark,
        "experiences": list(tasks),
        "config": config.settings(),
        "versions": {"python": "3"},
        "accuracy": accuracy,
        "metrics": continual_metrics(accuracy[1:]),
        **({"class_incremental": {"average": base, "last": base - 1}} if config.class_incremental else {}),
        "seconds": 1.0,
        "peak_memory_bytes": 1,
    }


def make_runs(name, folder, seeds=(0,), world=MINI):
    for number, (run, config) in enumerate(all_runs([name], world, seeds).items()):
        write_results(folder / run / "results.json", made_up(config, 50.0 + number))


@pytest.mark.parametrize("name", NAMES)
def test_every_table_and_figure_has_runs_or_pictures_in_its_worlds(name):
    module = load(name)
    assert module.__doc__ and module.__doc__.startswith(f"{name[:-1] if name[-2].isalpha() else name[:-2]}".title())
    assert f"python -m experiments.{name} --world mini" in module.__doc__
    assert "H100 hours" in module.__doc__
    assert "mini" in module.WORLDS and len(module.WORLDS) == 2
    for world in module.WORLDS:
        found = entries(name, WORLDS[world], [0])
        assert {entry.row.label for entry in found} == {row.label for row in module.ROWS}
        assert all(bool(entry.runs) != entry.row.pictures_only and not entry.missing for entry in found)


@pytest.mark.parametrize("name", [f"table{n}" for n in range(1, 13)])
def test_rows_carry_the_papers_names(name):
    paper = published(name)
    for row in load(name).ROWS:
        assert row.label in paper or f"{row.label}, Last" in paper, row.label


def test_every_row_with_clip_of_the_paper_is_run():
    conventional = {row for name in ("table7", "table8") for row in published_conventional(name)}
    for name in NAMES[:12]:
        ours = {row.label for row in load(name).ROWS}
        missing = {row.split(",")[0] for row in published(name)} - ours - conventional
        assert not missing, (name, missing)


@pytest.mark.parametrize("world", [MINI, FULL["mtil"]], ids=["mini", "mtil"])
def test_the_run_of_gift_is_one_folder_for_all_its_tables(world):
    labels = {
        "table1": "GIFT (Ours)",
        "table3": "CD+ITA+AWC",
        "table6": "AWC",
        "table9": "GIFT (Ours)",
        "table11": "AWC 50 steps",
    }
    labels |= {"figure4": "with AWC"}
    found = [entry.runs for name, label in labels.items() for entry in entries(name, world, [0]) if entry.row.label == label]
    assert len(found) == len(labels)
    assert len({run for runs in found for run in runs}) == 1


def test_tables_nine_and_ten_need_the_runs_of_one_and_two_and_share_the_tasks_alone():
    one, two, nine, ten = (set(all_runs([f"table{n}"], MINI, [0])) for n in (1, 2, 9, 10))
    assert one < nine and two < ten
    assert nine - one == ten - two
    assert len(nine - one) == 6
    assert not one & two


def test_another_setting_or_seed_is_another_folder():
    row = load("table3").ROWS[-1]
    (config,) = row.configs(MINI, 0)
    names = {run_name(config), run_name(dataclasses.replace(config, lr=1e-3)), run_name(dataclasses.replace(config, seed=1))}
    assert len(names) == 3
    assert run_name(dataclasses.replace(config, cache_dir="elsewhere")) == run_name(config)


def test_rows_without_adaptive_consolidation_have_a_plain_l2_term_at_the_worlds_weight():
    row = next(row for row in load("table3").ROWS if row.label == "CD")
    for world, weight in ((MINI, 0.1), (FULL["mtil"], 1.0)):
        (config,) = row.configs(world, 0)
        assert config.synthetic["awc_weight"] == 0
        assert config.synthetic["l2_weight"] == weight
        assert (config.synthetic["alpha"], config.synthetic["beta"]) == (1, 0)


@pytest.mark.parametrize("world", [MINI, FULL["mtil"]], ids=["mini", "mtil"])
def test_which_rows_have_which_weight_term(world):
    def weights(name):
        """(AWC, l2) of the rows that replay, as shares of the world's weight."""
        whole = 0.1 if world is MINI else 1.0
        found = {}
        for entry in entries(name, world, [0]):
            for config in entry.runs.values():
                if synthetic := config.synthetic:
                    found[entry.row.label] = (synthetic["awc_weight"] / whole, synthetic.get("l2_weight", 0) / whole)
        return found

    awc, l2, none = (1, 0), (0, 1), (0, 0)
    assert weights("figure4") == {"with AWC": awc, "without AWC": none}
    assert weights("figure5") == {"without AWC": none, "with AWC": awc}
    assert set(weights("table6").values()) == {awc}, "EWC-V is AWC with a fixed Fisher: no l2 beside either"
    assert weights("table3") == {"ITA only (scale 1)": l2, "CD": l2, "CD+ITA": l2, "CD+AWC": awc, "CD+ITA+AWC": awc}
    for name in ("table4", "table5", "table12", "figure3"):  # their 1K rows have the values of Table 3's CD+ITA
        assert set(weights(name).values()) == {l2}, name
    assert weights("table11") == {f"{no}AWC {steps} steps": l2 if no else awc for steps in (50, 25) for no in ("", "no ")}


def test_at_paper_scale_settings_are_the_papers():
    config = next(c for c in all_runs(["table2"], FULL["mtil"], [42]).values() if c.strategy == "gift")
    assert (config.model, config.order, config.lr, config.source) == ("ViT-B-16:openai", "II", None, "synthetic-II")
    assert (config.train_iterations, config.train_mb_size, config.synthetic["synthetic_images"]) == (1000, 64, 1000)
    steps = all_runs(["table7"], FULL["cil"], [42]).values()
    assert {c.benchmark: hours.iterations(c) for c in steps} == {"cifar100": 790, "cifar100-20": 800, "cifar100-50": 800}
    assert all((c.train_epochs, c.train_iterations) == (1, None) for c in steps)
    assert all(c.class_incremental for c in steps)
    assert {c.lr for c in steps if c.strategy == "lwf"} == {7.1e-6}
    tiny = {c.benchmark: hours.iterations(c) for c in all_runs(["table8"], FULL["cil"], [42]).values()}
    assert tiny == {"tinyimagenet": 782 + 5 * 157, "tinyimagenet-10": 782 + 10 * 79, "tinyimagenet-20": 782 + 20 * 40}


def test_a_run_of_the_tables_of_steps_is_the_one_that_the_command_line_makes():
    made = {(c.strategy, c.benchmark): c for c in all_runs(["table8"], FULL["cil"], [42]).values()}
    for strategy in ("finetune", "lwf", "icarl", "zscl", "gift"):
        line = [
            "run",
            "--benchmark",
            "tinyimagenet-10",
            "--strategies",
            strategy,
            "--seeds",
            "42",
            "--data",
            "data",
            "--out",
            "x",
        ]
        line += ["--model", "ViT-B-16:openai", "--set", "zscl.pictures=captioned"][: 2 if strategy != "zscl" else 4]
        (typed,) = _configs(parser().parse_args(line))
        ours = made[strategy, "tinyimagenet-10"]
        for name in (
            "train_epochs",
            "train_iterations",
            "train_mb_size",
            "lr",
            "class_incremental",
            "options",
            "test_transform",
        ):
            assert getattr(typed, name) == getattr(ours, name), (strategy, name)


def test_departures_are_computed_from_the_settings_of_the_rows(tmp_path):
    said = World("cil").departures()
    for words in (
        "All rows: test_transform test (protocol: train)",
        "true copy",
        "zscl: texts class prompts (protocol: captions)",
    ):
        assert words in said
    (tmp_path / "captions.csv").write_text("caption\na cat\n")
    world = World("cil", sources={"captioned": str(tmp_path)}, test_transform="train")
    assert "texts" not in world.departures() and "test_transform" not in world.departures()
    rows = load("table7").ROWS
    assert world.row_departures(rows)["CLIP Zero-shot"] == []
    assert any("true copy" in text for text in world.row_departures(rows)["LwF"])
    assert World("mtil").departures(load("table3").ROWS) == World("mtil").departures(load("table4").ROWS) == ""
    assert "ZSCL: texts class prompts" in World("mtil").departures(load("table1").ROWS)
    another = dataclasses.replace(rows[0], strategy="finetune", options={}, given={})
    odd = dataclasses.replace(another, label="odd", benchmark="mtil", steps=10)
    assert world.row_departures([odd])["odd"], "class-incremental MTIL is not the protocol"


def test_a_difference_is_printed_in_the_rows_whose_settings_are_the_protocols(tmp_path):
    captioned = tmp_path / "captioned"
    captioned.mkdir()
    (captioned / "captions.csv").write_text("caption\na cat\n")
    sources = {"captioned": str(captioned), **{name: "made" for name in load("table7").STEPS}}
    for test_transform, same in (("test", set()), ("train", {"CLIP Zero-shot"})):
        world = World("cil", data="data", sources=sources, test_transform=test_transform)
        folder = tmp_path / test_transform
        for run, config in all_runs(["table7"], world, [42]).items():
            tasks = tuple(f"step {k}" for k in range(3))
            write_results(folder / run / "results.json", made_up(dataclasses.replace(config, tasks=tasks)))
        text = write("table7", world, [42], folder, folder)
        record = json.loads((folder / "table7.json").read_text(encoding="utf-8"))
        differing = {row for row, cells in record["rows"].items() if any("difference" in cell for cell in cells.values())}
        assert same <= differing and not differing & {"LwF", "LwF-VR", "iCaRL"} and not record["same_protocol"]
        assert f"ZSCL's texts: the captions of {captioned / 'captions.csv'}." in text
        assert "Not as in the published protocol: " in text


def test_a_row_without_its_pictures_says_which_are_needed():
    world = World("mtil", data="data", sources={"synthetic": "made"})
    missing = {entry.row.label: entry.missing for entry in entries("table11", world, [0])}
    assert missing["AWC 25 steps"] == "--sources steps-25=DIR"
    assert missing["AWC 50 steps"] == ""
    with pytest.raises(NotPossible, match="--data DIR"):
        Row("CD").configs(World("mtil"), 0)


@pytest.mark.parametrize("count", [1, 3, 70, 100])
def test_shards_are_a_partition(count):
    runs = all_runs(NAMES, MINI, [0])
    parts = [shard(runs, f"{i}/{count}") for i in range(1, count + 1)]
    assert sorted(name for part in parts for name in part) == sorted(runs)


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_a_shard_that_is_none_is_refused(part):
    with pytest.raises(ValueError, match="expected --shard I/N"):
        shard({}, part)


def test_the_list_names_every_run_once_with_what_shares_it(capsys):
    lines = "\n".join(listing(NAMES, MINI, [0])).splitlines()
    runs = all_runs(NAMES, MINI, [0])
    assert [line.split()[0] for line in lines[: len(runs)]] == list(runs)
    (gift,) = [line for line in lines if {"table1", "table3", "table6", "table9"} <= set(line.split())]
    assert gift.startswith("gift-seed0")
    assert any(line.startswith("figure5     2 runs,   0 shared") for line in lines)
    assert any(line.startswith("figure8     0 runs") for line in lines)
    with pytest.raises(SystemExit) as end:
        main("table3", ["--list"])
    assert end.value.code == 0
    assert "8 runs" in capsys.readouterr().out


def test_all_of_the_embedded_world_is_estimated_under_three_hours_of_two_threads():
    total = hours.total_seconds(all_runs(NAMES, MINI, [0]).values())
    assert 30 * 60 < total < 6 * 3600


def test_pictures_that_runs_share_are_estimated_once():
    (first,), (second,) = (row.configs(MINI, 0) for row in (Row("CD", given={"beta": 0}), Row("CD+ITA")))
    (other,) = Row("base-only", options={"extend_pool": False}, images=3).configs(MINI, 0)
    alone = hours.seconds(first)
    assert hours.total_seconds([first]) == alone + hours.SECONDS_PICTURES
    assert hours.total_seconds([first, second]) == 2 * alone + hours.SECONDS_PICTURES
    assert hours.total_seconds([first, other]) == 2 * alone + 4 * hours.SECONDS_PICTURES


def test_ours_stand_beside_the_papers_with_the_difference_where_the_protocol_is_the_same():
    ours = [{("CD", "Last"): 84.0, ("new", "Last"): 1.0}, {("CD", "Last"): 86.0, ("new", "Last"): 3.0}]
    table = cells.beside(ours, published("table3"), comparable=True)
    assert table["CD"]["Last"] == {"ours": 85.0, "values": [84.0, 86.0], "std": 1.41, "paper": 84.7, "difference": 0.3}
    assert table["l2"]["Last"] == {"paper": 75.9}
    assert list(table)[-1] == "new"
    line = next(line for line in cells.markdown(table).splitlines() if line.startswith("| CD |"))
    assert line.endswith("| 85.0 ± 1.4 | 84.7 | +0.3 |")
    assert "difference" not in cells.beside(ours, published("table3"), comparable=False)["CD"]["Last"]


def test_deltas_are_points_above_a_row_of_the_same_table():
    ours = [{("Zero-shot", "Last"): 60.0, ("l2", "Last"): 71.0}, {("Zero-shot", "Last"): 65.0, ("l2", "Last"): 72.5}]
    table = cells.with_deltas(cells.beside(ours, published("table1"), comparable=False), load("table1").DELTAS)
    # Ours: (71 + 72.5) / 2 - (60 + 65) / 2 = 9.25. The paper's: 75.9 - 65.3 = 10.6.
    assert (table["l2"]["Last"]["ours_delta"], table["l2"]["Last"]["paper_delta"]) == (9.25, 10.6)
    assert "ours_delta" not in table["Zero-shot"]["Last"] and "paper_delta" not in table["Zero-shot"]["Last"]
    assert table["ZSCL"]["Transfer"] == {"paper": 68.1, "paper_delta": -1.3}, "not run: the paper's alone"
    assert table["GIFT (Ours)"]["Last"]["paper_delta"] == 20.7
    lines = cells.markdown(table).splitlines()
    assert lines[0].endswith("| Last | Δ | Last (paper) | Δ (paper) |")
    assert next(line for line in lines if line.startswith("| l2 |")).endswith("| 71.8 ± 1.1 | +9.2 | 75.9 | +10.6 |")
    assert next(line for line in lines if line.startswith("| Zero-shot |")).endswith("| 62.5 ± 3.5 | - | 65.3 | - |")


def test_the_deltas_of_the_first_two_tables_are_those_that_zscls_paper_prints_for_its_rows():
    """Of its Table 1: ZSCL's Transfer, Avg. and Last against zero-shot; the rows are quoted, and so the rule is."""
    table = cells.with_deltas(cells.beside([], published("table1"), comparable=True), load("table1").DELTAS)
    assert [table["ZSCL"][metric]["paper_delta"] for metric in ("Transfer", "Average", "Last")] == [-1.3, 10.1, 18.3]


def test_three_times_the_images_are_compared_in_brackets_with_once():
    ours = [{("GIFT ImageNet 1K", "Last"): 80.0, ("GIFT ImageNet 3K", "Last"): 79.0, ("GIFT synthetic 3K", "Last"): 85.0}]
    table = cells.with_deltas(cells.beside(ours, published("table5"), comparable=True), load("table5").DELTAS)
    line = {text.split(" | ")[0].removeprefix("| "): text for text in cells.markdown(table, brackets=True).splitlines()}
    # Ours 79 - 80; the paper's 84.7 - 84.0; ours less the paper's 79 - 84.7.
    assert line["GIFT ImageNet 3K"].endswith("| 79.0 (-1.0) | 84.7 (+0.7) | -5.7 |")
    assert line["GIFT ImageNet 1K"].endswith("| 80.0 | 84.0 | -4.0 |")
    assert line["GIFT synthetic 3K"].endswith("| 85.0 | 84.9 (-0.1) | +0.1 |"), "ours lacks the row with 1K"
    assert "(" not in line["ZSCL ImageNet 100K"] and "Δ" not in line[""]


@pytest.mark.parametrize("name", [f"table{n}" for n in range(1, 13)])
def test_every_delta_is_between_two_rows_of_its_table(name):
    module = load(name)
    labels = {row.label for row in module.ROWS}
    deltas = getattr(module, "DELTAS", {})
    assert set(deltas) | set(deltas.values()) <= labels and all(row != base for row, base in deltas.items())
    assert bool(deltas) == (name in ("table1", "table2", "table3", "table5")) == hasattr(module, "DELTA_NOTE")


@pytest.mark.parametrize("name", [f"table{n}" for n in range(1, 13)])
def test_the_pages_that_come_with_it_are_made_of_the_json_beside_them(name):
    folder = Path(__file__).parents[1] / "experiments" / "results" / "mini"
    record = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert (folder / f"{name}.md").read_text(encoding="utf-8") == as_text(record)
    bare = {
        row: {
            column: {part: value for part, value in cell.items() if not part.endswith("_delta")}
            for column, cell in line.items()
        }
        for row, line in record["rows"].items()
    }
    assert cells.with_deltas(bare, getattr(load(name), "DELTAS", {})) == record["rows"]


def test_a_table_of_the_embedded_world_has_both_and_says_that_the_protocol_is_another(tmp_path):
    make_runs("table3", tmp_path)
    text = write("table3", MINI, [0], tmp_path, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "table3.json").read_text(encoding="utf-8"))
    full = record["rows"]["CD+ITA+AWC"]["Last"]
    assert full["paper"] == 86.0 and "ours" in full and "difference" not in full
    assert not record["same_protocol"] and "Not the paper's protocol" in record["protocol"]
    assert (tmp_path / "out" / "table3.md").read_text(encoding="utf-8") == text
    assert "Not the paper's protocol" in text and "Last (paper)" in text and "difference" not in text


def test_at_paper_scale_differences_are_printed(tmp_path):
    world = World("mtil", data="data", sources={"synthetic": "made"})
    for run, config in all_runs(["table6"], world, [42]).items():
        write_results(tmp_path / run / "results.json", made_up(dataclasses.replace(config, tasks=("a", "b"))))
    write("table6", world, [42], tmp_path, tmp_path)
    record = json.loads((tmp_path / "table6.json").read_text(encoding="utf-8"))
    cell = record["rows"]["AWC"]["Last"]
    assert cell["difference"] == pytest.approx(cell["ours"] - 86.0)
    assert "2 iterations a task" in World("mtil", iterations=2).departures()


def test_values_of_single_tasks_are_means_of_their_columns():
    (config,) = Row("GIFT (Ours)").configs(MINI, 0)
    result = made_up(config)
    found = cells.per_task(Row("GIFT (Ours)"), MINI, [result])
    rows = result["accuracy"][1:]
    assert found["GIFT (Ours), Transfer", "digits"] == pytest.approx((rows[0][2] + rows[1][2]) / 2)
    assert ("GIFT (Ours), Transfer", "shapes") not in found
    for metric in ("Transfer", "Average", "Last"):
        assert found[f"GIFT (Ours), {metric}", "Average"] == pytest.approx(result["metrics"][metric.lower()])


def test_steps_of_new_classes_have_columns_of_their_own(tmp_path):
    make_runs("table7", tmp_path)
    write("table7", MINI, [0], tmp_path, tmp_path)
    rows = json.loads((tmp_path / "table7.json").read_text(encoding="utf-8"))["rows"]
    assert set(rows["GIFT (Ours)"]) >= {"6 tasks Average", "6 tasks Last", "10 steps Last"}
    assert rows["BiC"]["10 steps Average"] == {"paper": 68.8}


def test_a_run_that_is_not_there_is_named(tmp_path):
    make_runs("table6", tmp_path)
    gone = next(iter(all_runs(["table6"], MINI, [0])))
    (tmp_path / gone / "results.json").unlink()
    collected = collect("table6", MINI, [0], tmp_path)
    assert collected.not_run == ["EWC-V 64, seed 0: not run"]
    assert "- EWC-V 64, seed 0: not run" in write("table6", MINI, [0], tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["figure3", "figure6", "figure7"])
def test_figures_are_drawn_from_results_and_keep_their_numbers(name, tmp_path):
    make_runs(name, tmp_path, seeds=(0, 1))
    write(name, MINI, [0, 1], tmp_path, tmp_path)
    record = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert len(record["panels"]) == {"figure3": 3, "figure6": 12, "figure7": 2}[name]
    assert all(panel["lines"] for panel in record["panels"])
    assert (tmp_path / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert (tmp_path / f"{name}.png").stat().st_size > 5000


def test_the_loss_figure_takes_the_first_five_tasks(tmp_path, monkeypatch):
    module = load("figure4")
    monkeypatch.setattr(module, "loss_curves", lambda folder: {"distillation": ([float(i) for i in range(480)], [1.0] * 480)})
    found = []
    for row in module.ROWS:
        (config,) = row.configs(MINI, 0)
        found.append((Entry(row, 0, {run_name(config): config}), [made_up(config)], [tmp_path]))
    panel, less = module.panels(found, MINI)
    assert set(panel.lines) == {"with AWC", "without AWC"}
    assert less.lines["difference"] == (panel.lines["with AWC"][0], [0.0] * 400)
    assert max(panel.lines["with AWC"][0]) == 399
    assert panel.starts == (80, 160, 240, 320)


def test_steps_that_are_one_run_in_the_mini_world_are_counted_once(tmp_path):
    make_runs("table7", tmp_path)
    write("table7", MINI, [0], tmp_path, tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "table7.json").read_text())["rows"]
    assert rows["GIFT (Ours)"]["6 tasks Last"]["values"] == [55.0], "made_up gives the last of seven runs 56"
    for name in ("table7", "table8", "figure6"):
        world = FULL["cil" if name.startswith("table") else "mtil"]
        assert len(entries(name, world, [42])) == len(load(name).ROWS), "at paper scale they are different runs"


def test_lines_of_several_seeds_are_averaged_and_show_how_far_the_seeds_spread():
    panel = drawing.Panel("accuracy", "tasks learned")
    panel.add("three seeds", {0.0: [1.0, 2.0, 3.0], 1.0: [3.0, 3.0, 9.0]})
    panel.add("one seed", {0.0: [7.0], 1.0: [8.0]})
    assert panel.lines == {"three seeds": ([0.0, 1.0], [2.0, 5.0]), "one seed": ([0.0, 1.0], [7.0, 8.0])}
    assert panel.spread == {"three seeds": [1.0, pytest.approx(12**0.5)]}


def test_finished_runs_are_not_made_again_and_their_table_is_written(tmp_path, capsys):
    make_runs("table6", tmp_path / "mini")
    arguments = arguments_of(["--out", str(tmp_path), "--tables", str(tmp_path / "tables")], "table6", "")
    assert go(arguments, "table6") == 0
    assert "4 runs, 4 of them done before" in capsys.readouterr().out
    assert (tmp_path / "tables" / "mini" / "table6.md").is_file()


def test_what_is_not_of_a_world_is_refused_in_words():
    for name, line, words in (
        ("table7", ["--world", "mtil"], "table7 has the worlds"),
        (None, [], "expected --all"),
        (None, ["--only", "table33"], "did you mean 'table3'"),
        ("table1", ["--sources", "x"], "expected --sources NAME=DIR"),
    ):
        with pytest.raises(ValueError, match=words):
            go(arguments_of(line, name, ""), name)


def test_the_mini_sources_of_the_tables_of_steps_and_guidance_are_the_embedded_generator_with_other_settings():
    (config,) = next(row for row in load("table12").ROWS if row.label == "large 1K").configs(MINI, 0)
    described = load_source(config).describe()
    assert (described["steps"], described["guidance"]) == (12, 2.5)
    with pytest.raises(ValueError, match="mini:STEPS"):
        load_source(dataclasses.replace(config, source="mini:many"))


def test_the_task_that_figure_seven_leaves_out_reaches_the_policy():
    (config,) = next(row for row in load("figure7").ROWS if row.skip_first and row.order == "II").configs(MINI, 0)
    made = own_arguments(config)
    assert made["synthetic"].skip == frozenset({"letters"})
    assert "skip" not in made


@pytest.mark.parametrize("title", check.CHECKS)
def test_the_protocol_check_passes(title):
    assert not list(check.CHECKS[title]())


def test_a_check_that_fails_is_said_and_ends_with_one(monkeypatch, capsys):
    monkeypatch.setitem(check.SIZES, "MNIST", (10, 60000, 9999))
    monkeypatch.setattr(check, "CHECKS", {"sizes": check.split_sizes_of_the_data_sets})
    assert check.main() == 1
    out = capsys.readouterr().out
    assert out.startswith("failed  sizes") and "MNIST" in out


def test_published_values_are_found_by_name():
    assert published("table8")["EWC"]["5 steps Last"] == 6.0
    assert published("table9")["ZSCL, Transfer"]["Aircraft"] is None
    assert published("figure3") == {} and "synthetic images" in published_what("figure3")
    assert list(published("table9")["Zero-shot"])[:-1] == [name for name in check.SIZES if class_names(name)]
    assert published_conventional("table7")["DER without pruning"]["values"][0] == [75.36, 0.36, 65.22]


def vectors():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(50, generator=generator, dtype=torch.float64) for _ in range(3)]


def test_the_plane_goes_through_its_three_vectors_on_orthonormal_axes():
    a, b, c = vectors()
    plane = surface.plane_through(a, b, c)
    for theta, (x, y) in zip((a, b, c), plane.corners, strict=True):
        assert torch.allclose(plane.at(x, y), theta, rtol=0, atol=1e-12)
    assert plane.corners[0] == (0, 0) and plane.corners[1][1] == 0
    axes = torch.stack([plane.right, plane.up])
    assert torch.allclose(axes @ axes.T, torch.eye(2, dtype=torch.float64), atol=1e-12)
    by_hand = surface.plane_through(*torch.tensor([[0.0, 0, 0], [2, 0, 0], [1, 3, 0]], dtype=torch.float64))
    assert by_hand.corners == ((0.0, 0.0), (2.0, 0.0), (1.0, 3.0))


def test_three_vectors_on_a_line_span_no_plane():
    a, b, _ = vectors()
    for c in (a, b, 3 * b - 2 * a):
        with pytest.raises(ValueError, match="three on one line"):
            surface.plane_through(a, b, c)


def test_the_grid_leaves_room_around_the_corners():
    x, y = surface.axes_around([(0, 0), (2, 0), (1, 4)], 3, 0.5)
    assert (x, y) == ([-2, 1, 4], [-2, 2, 6])


def test_losses_on_the_plane_at_the_three_vectors_are_those_of_the_three_models():
    model, others = tiny_model(0), [tiny_model(1), tiny_model(2)]
    experience = made_stream().test_stream[1]
    pictures = surface.pictures_of(experience, model, 4, "cpu")
    assert len(pictures.labels) == 4 and set(pictures.labels.tolist()) == {0, 1}, "evenly over the classes"
    images, labels = zip(*((row[0], row[1]) for row in (experience.dataset.eval()[k] for k in (0, 1, 3, 4))), strict=True)
    wanted = []
    for each in (model, *others):
        each.eval().set_classes(experience.class_names, experience.templates)
        with torch.no_grad():
            logits = each(torch.stack(images))
        wanted.append(float(F.cross_entropy(logits, torch.tensor(labels))))
    plane = surface.plane_through(*(surface.weights(each) for each in (model, *others)))
    (_, (x, _), (right, up)) = plane.corners
    grid = surface.surfaces(model, plane, {"made": pictures}, [0.0, x, right], [0.0, up])["made"]
    assert [grid[0][0], grid[0][1], grid[1][2]] == pytest.approx(wanted, rel=1e-4)
    assert len({round(value, 3) for row in grid for value in row}) == 6


def test_the_loss_surfaces_are_drawn_from_kept_weights_and_measured_once(tmp_path, monkeypatch):
    module, folder = load("figure5"), tmp_path / "runs"
    monkeypatch.setattr(module, "POINTS", 3)
    monkeypatch.setattr(module, "PICTURES", 10)
    make_runs("figure5", folder)
    with pytest.raises(NotPossible, match="weights that the run left as"):
        write("figure5", MINI, [0], folder, tmp_path)
    clip = mini_clip().clip.state_dict()
    for number, run in enumerate(all_runs(["figure5"], MINI, [0]), 1):
        noise = torch.Generator().manual_seed(number)
        moved = {name: t + 0.01 * torch.randn(t.shape, generator=noise) for name, t in clip.items() if t.is_floating_point()}
        save_file({**clip, **moved, "logit_scale": clip["logit_scale"]}, folder / run / "model.safetensors")
    write("figure5", MINI, [0], folder, tmp_path)
    found = json.loads((tmp_path / "figure5.json").read_text(encoding="utf-8"))["surfaces"]
    assert list(found["grids"]) == ["shapes, training", "digits, test"]
    assert list(found["corners"]) == ["start", "without AWC", "with AWC"]
    assert all(len(grid) == 3 and len(grid[0]) == 3 for grid in found["grids"].values())
    svg = (tmp_path / "figure5.svg").read_text(encoding="utf-8")
    assert "shapes, training loss" in svg and svg.count("with AWC") == 2
    monkeypatch.setattr(surface, "surfaces", lambda *_: pytest.fail("measured again"))
    write("figure5", MINI, [0], folder, tmp_path)


def test_the_runs_of_the_loss_surfaces_are_of_the_first_task_and_leave_their_weights(tmp_path, monkeypatch):
    asked = {}

    def pretend(config, folder, threads, save_model):
        asked[folder.name] = (config.tasks, save_model)

    class Pool:
        def __init__(self, *_, **__): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def submit(self, call, *arguments):
            call(*arguments)
            done = Future()
            done.set_result(None)
            return done

    monkeypatch.setattr(runner, "run_one", pretend)
    monkeypatch.setattr(runner, "ProcessPoolExecutor", Pool)
    names = ["figure5", "table6"]
    runner.execute(all_runs(names, MINI, [0]), tmp_path, 1, runner.kept_models(names, MINI, [0]))
    assert sorted(asked.values(), key=str) == sorted([(("shapes",), True)] * 2 + [(None, False)] * 4, key=str)


def extents(figure):
    """Boxes of the texts, and of the figure, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [text.get_window_extent(renderer) for text in figure.texts], figure.bbox


def test_no_text_of_a_sheet_is_cut_or_meets_another():
    prompts = ["a photo of a circle.", f"a photo of a {40 * 'W'}, for $1 or $2.", "a photo of a " + 9 * "word "]
    rows = {label: [Image.new("RGB", (32, 32), "red")] * 3 for label in ("6 steps", "12 steps")}
    figure = sheets.sheet([sheets.Block("shapes", prompts, rows), sheets.Block("land", prompts[:2], {"": rows["6 steps"][:2]})])
    assert len(figure.axes) == 8
    written = [text.get_text().replace("\n", "") for text in figure.texts]
    assert prompts[2].replace(" ", "") in [text.replace(" ", "") for text in written]
    boxes, whole = extents(figure)
    boxes = [box for box in boxes if box.width]
    for number, box in enumerate(boxes):
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1 + 1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


@pytest.mark.parametrize("name", ["figure8", "figure9"])
def test_the_sheets_of_the_embedded_world_are_made_by_its_generator(name, tmp_path, monkeypatch):
    module = load(name)
    monkeypatch.setattr(module, "ACROSS", 1)
    assert go(arguments_of(["--out", str(tmp_path), "--tables", str(tmp_path)], name, ""), name) == 0
    record = json.loads((tmp_path / "mini" / f"{name}.json").read_text(encoding="utf-8"))
    assert [block["title"] for block in record["blocks"]] == ["shapes", "textures", "digits", "land", "letters", "icons"]
    assert record["blocks"][0]["prompts"] == ["a photo of a circle."]
    assert record["blocks"][0]["rows"] == {"figure8": ["6 steps", "12 steps", "25 steps"], "figure9": [""]}[name]
    svg = (tmp_path / "mini" / f"{name}.svg").read_text(encoding="utf-8")
    assert svg.count("data:image/png") == 6 * len(record["blocks"][0]["rows"])


def make_store(root, prompts, colour, seeds=(7, 8, 9)):
    task = TaskFolder(root / "task-00")
    task.open({"task": "Caltech101"})
    with task.writer() as writer:
        writer.add([(k, prompt, seeds[k], Image.new("RGB", (40, 30), colour), 1, None) for k, prompt in enumerate(prompts)])


def test_the_sheets_at_paper_scale_come_from_stores(tmp_path, capsys):
    aircraft = training_prompts(class_names("Aircraft"), templates("Aircraft"))[:2]
    make_store(tmp_path / "few", [*aircraft, "a photo of a dog."], "red", seeds=(7, 8, 1))
    make_store(tmp_path / "many", [*aircraft, "a photo of a dog."], "blue")
    sources = [f"synthetic={tmp_path / 'many'}", f"steps-25={tmp_path / 'few'}"]
    line = ["--world", "mtil", "--out", str(tmp_path), "--tables", str(tmp_path), "--sources", *sources]
    assert go(arguments_of([*line, "--only", "figure8", "figure9"], None, ""), None) == 0
    eight, nine = (json.loads((tmp_path / "mtil" / f"figure{n}.json").read_text(encoding="utf-8")) for n in (8, 9))
    assert eight["blocks"] == [{"title": "Caltech101", "prompts": aircraft, "rows": ["25 steps", "50 steps"]}]
    assert nine["blocks"] == [{"title": "Aircraft", "prompts": aircraft, "rows": [""]}]
    make_store(tmp_path / "others", ["a photo of a dog."], "red")
    line[-1] = f"steps-25={tmp_path / 'others'}"
    assert go(arguments_of([*line, "--only", "figure8"], None, ""), None) == 0
    assert "figure8: not written yet; needs stores steps-25 and synthetic that have prompts" in capsys.readouterr().out
    assert go(arguments_of([*line[:-2], f"steps-25={tmp_path}", "--only", "figure8"], None, ""), None) == 0
    assert "figure8: not written yet; needs --sources steps-25=DIR with a store" in capsys.readouterr().out
