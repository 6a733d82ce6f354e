"""The page of finished runs: its numbers, its limits, and that nothing in a file becomes part of its markup."""

import base64
import json
import re
import time
from html import unescape

import pytest
from PIL import Image
from report_made import FINETUNE, GIFT, HOSTILE, many, placed, png, record, results
from torch.utils.tensorboard import SummaryWriter

from avalanche_gift.cli import main
from avalanche_gift.evaluation import continual_metrics, write_results
from avalanche_gift.generation.store import TaskFolder
from avalanche_gift.report import Experiment, Sheet, write_page
from avalanche_gift.report.gather import gather
from avalanche_gift.report.page import page, summary
from avalanche_gift.report.streams import stream_section


def page_of(*found, sheets=(), experiments=()):
    return page(gather(placed(found)), sheets, experiments)


def rows(html, attributes):
    """Cells of the body of the table with these attributes as text; `*` stands for the mark of the best."""
    body = re.search(f"<table {attributes}>.*?<tbody>(.*?)</tbody>", html, re.S)[1]
    return [
        [unescape(re.sub("<[^>]*>", "", cell.replace("<strong>", "*"))) for cell in re.findall("<t[hd].*?>(.*?)</t[hd]>", row)]
        for row in re.findall("<tr>(.*?)</tr>", body, re.S)
    ]


def runs_table(html):
    return rows(html, 'id="runs" class="sortable"')


def test_the_table_has_means_deviations_counts_and_the_best_of_each_column():
    kept = {"extra_parameters": 1234, "stored_pictures": 0, "stored_bytes": 0}
    table = runs_table(page_of(*FINETUNE, *GIFT, results("l2", footprint=kept)))
    costs = ["*12.5 ± 0.0", "1.50 ± 0.00", "-", "-"]
    assert table == [
        ["finetune", "mini", "2 (0, 1)", "29.0 ± 12.7", "62.8 ± 3.2", "66.0 ± 0.0", "-50.0 ± 0.0", *costs],
        ["gift", "mini", "2 (0, 1)", "*33.0 ± 4.2", "*67.5 ± 3.5", "*77.5 ± 3.5", "*-17.0 ± 4.2", "21.0 ± 1.4", *costs[1:]],
        ["l2", "mini", "1 (0)", "30.0", "65.0", "75.0", "-20.0", "*12.5", "1.50", "1,234", "0"],
    ]


def test_best_is_marked_within_a_benchmark_only():
    other = [results("l2", 0, [[0, 0], [90, 1], [2, 2]], benchmark="digits"), results("gift", benchmark="digits")]
    marked = [any("*" in cell for cell in row) for row in runs_table(page_of(*GIFT, *other))]
    assert marked == [False, False, True]


def test_memory_has_no_best_since_the_order_of_runs_decides_it():
    table = runs_table(page_of(results("l2", 0, peak_memory_bytes=2**30), results("gift", 0, peak_memory_bytes=2**31)))
    assert [row[8] for row in table] == ["1.00", "2.00"]


def test_orders_of_training_are_streams_of_their_own_whose_lines_and_bands_are_in_that_order():
    rows = [[50, 40], [30, 80], [90, 60]]
    turned = results("gift", 0, rows, training_order=[1, 0], metrics=continual_metrics(rows[1:], [1, 0]))
    streams = gather(placed([GIFT[0], turned]))
    assert [stream.label for stream in streams] == ["mini: task 0 to task 1", "mini: task 1 to task 0"]
    drawn = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avalanche_gift.report.streams.accuracy_curves", lambda task, trainings, curves: str(trainings))
        for stream in streams:
            html = stream_section(stream)
            drawn[stream.label] = re.findall(r"</figcaption>(\[.*?\])</figure>", html)
            heat = re.search('aria-label="Accuracy matrix of gift".*?</svg>', html, re.S)[0]
            assert re.findall(r">(before|task \d)<", heat)[2:] == ["before", *(f"task {which}" for which in stream.order)]
    assert drawn == {"mini: task 0 to task 1": ["[0]", "[1]"], "mini: task 1 to task 0": ["[1]", "[0]"]}


def test_ties_as_shown_share_the_mark():
    table = runs_table(page_of(*(results(f"strategy {k}", 0, seconds=12.51 + k / 25) for k in range(3))))
    assert [row[7] for row in table] == ["*12.5", "*12.5", "12.6"]
    assert [row[3] for row in table] == ["30.0"] * 3, "where all are equal, none is best"
    table = runs_table(page_of(*(results(f"strategy {k}", 0, seconds=9.0 + (k == 3)) for k in range(4))))
    assert [row[7] for row in table] == ["9.0", "9.0", "9.0", "10.0"], "a mark on most rows would say nothing"


def test_of_many_configurations_a_row_names_what_most_do_not_have():
    configs = [{"lr": 0.1}, {"lr": 0.1, "beta": 2.0}, {"lr": 0.2}]
    table = runs_table(page_of(*(results("gift", 0, config=config) for config in configs)))
    assert [row[0] for row in table] == ["gift", "gift beta 2", "gift lr 0.2"]
    table = runs_table(page_of(*(results("gift", 0, config=config) for config in configs[1:])))
    assert [row[0] for row in table] == ["gift lr 0.1, beta 2", "gift lr 0.2, beta -"], "of two, neither is the usual one"


def test_pairs_are_compared_seed_by_seed():
    unpaired = results("finetune", 7, [[1, 1], [2, 2], [3, 3]])
    assert rows(page_of(*FINETUNE, *GIFT, unpaired), 'class="paired sortable"') == [
        ["gift", "finetune", "2", "+4.0 ± 8.5, won 1/2", "+4.8 ± 0.4, won 2/2", "+11.5 ± 3.5, won 2/2", "+33.0 ± 4.2, won 2/2"]
    ]
    assert "Paired comparison" not in page_of(GIFT[0], FINETUNE[1]), "no seed is common"


def test_beyond_six_rows_only_the_best_is_compared():
    few, more = ([results(f"strategy {k}", 0, [[0, 0], [k, k], [k, k]]) for k in range(count)] for count in (6, 8))
    assert len(rows(page_of(*few), 'class="paired sortable"')) == 15
    compared = rows(page_of(*more), 'class="paired sortable"')
    assert [row[:2] for row in compared] == [["strategy 7", f"strategy {k}"] for k in (6, 5, 4, 3, 2, 1, 0)]


def test_one_sentence_says_what_the_table_shows():
    assert summary(gather(placed([*FINETUNE, *GIFT]))) == (
        "4 runs of 2 strategies on mini: gift has the highest Average, 67.5 ± 3.5 % over 2 seeds, 4.8 points above finetune."
    )
    assert (
        summary(gather(placed(GIFT[:1])))
        == "One run: gift on mini, seed 0, has an Average of 65.0 % and ends at 75.0 % (Last)."
    )
    assert summary(gather(placed([*GIFT, results("l2", benchmark="digits")]))) == (
        "3 runs of 2 strategies on 2 streams; highest Average: gift at 67.5 % (mini), l2 at 65.0 % (digits)."
    )


def test_a_training_of_all_tasks_at_once_is_shown_but_does_not_lead():
    metrics = {"transfer": None, "average": 95.0, "last": 95.0, "forgetting": None}
    joint = results("joint", 0, [[50, 40], [95, 95], [95, 95]], metrics=metrics, trained_at_once=True)
    assert "gift has the highest Average, 67.5 ± 3.5 % over 2 seeds, 4.8 points" in summary(
        gather(placed([joint, *GIFT, *FINETUNE]))
    )
    assert summary(gather(placed([joint, GIFT[0]]))) == "2 runs of 2 strategies on mini: gift has an Average of 65.0 %."
    assert runs_table(page_of(joint, *GIFT))[0][3:7] == ["-", "*95.0", "*95.0", "-"]


def test_rows_of_one_strategy_are_named_by_what_sets_them_apart():
    slow = results("gift", 0, seconds=1.0)
    slow["config"] = {**slow["config"], "synthetic": {"alpha": 0.1 + 0.2}}
    html = page_of(*GIFT, slow, *FINETUNE)
    assert [row[0] for row in runs_table(html)] == ["gift alpha 1", "gift alpha 0.3", "finetune"]
    differing = re.search("What differs between runs.*?</table>", html, re.S)[0]
    assert "synthetic.alpha" in differing
    assert "train_iterations" not in differing
    shared = re.search("The same in all runs.*?</table>", html, re.S)[0]
    assert "version of python" in shared
    assert "train_iterations" in shared


def test_streams_that_differ_in_order_have_names_that_differ():
    orders = [results("gift", experiences=list(names)) for names in (("a", "b"), ("b", "a"))]
    names = [stream.label for stream in gather(placed([*orders, results("gift", benchmark="digits")]))]
    assert names == ["mini: a to b", "mini: b to a", "digits"]


def test_streams_that_differ_in_protocol_are_named_by_it():
    among_all = results("gift", config={"class_incremental": True}, class_incremental={"average": 50.0, "last": 40.0})
    names = [stream.label for stream in gather(placed([results("gift"), among_all]))]
    assert names == ["mini: task 0 to task 1", "mini: task 0 to task 1, class-incremental"]


def test_two_runs_can_be_chosen_with_what_differs_and_all_numbers():
    html = page_of(*FINETUNE, *GIFT)
    data = json.loads(re.search('<script type="application/json" id="data">(.*?)</script>', html, re.S)[1])
    assert [run["name"] for run in data] == ["finetune, seed 0", "finetune, seed 1", "gift, seed 0", "gift, seed 1"]
    assert data[3]["fields"] == {}
    assert data[3]["numbers"]["Average"] == [70, 2]
    assert data[3]["numbers"]["task 0, after the last task"] == [70, 2]


def test_a_single_run_makes_a_page_without_comparisons():
    html = page_of(GIFT[0])
    assert len(runs_table(html)) == 1
    assert "*" not in "".join(runs_table(html)[0])
    for absent in ("Two runs side by side", "Paired comparison", "What differs", "±</small>"):
        assert absent not in html
    assert "No TensorBoard events" in html
    assert "No store of pictures" in html


def test_a_single_experience_and_undefined_metrics_show_a_dash():
    html = page_of(results("gift", 0, [[10], [20]]), results("l2", 0, [[10], [30]], peak_memory_bytes=0))
    assert runs_table(html)[1][3:] == ["-", "*30.0", "*30.0", "-", "12.5", "-", "-", "-"]


def test_class_incremental_results_have_columns_of_their_own():
    html = page_of(results("gift", class_incremental={"average": 61.25, "last": 50.0}))
    assert "Average, all classes" in html
    assert "61.2" in runs_table(html)[0]
    assert "Average, all classes" not in page_of(*GIFT)


def test_loss_curves_come_from_events_where_there_are_any(tmp_path):
    with SummaryWriter(str(tmp_path / "gift" / "tensorboard")) as writer:
        for step in range(6):
            writer.add_scalar("LossTerm/distillation/train_phase/train_stream", 6 - step, step)
            writer.add_scalar("Last/eval_phase/test_stream", 50, step)
            writer.add_scalar("GradientCosine/train_phase/train_stream", 0.5, step)
    (tmp_path / "l2" / "tensorboard").mkdir(parents=True)
    (tmp_path / "l2" / "tensorboard" / "events.out.tfevents.1").write_bytes(b"torn while being written")
    html = page(gather([(tmp_path / "gift", GIFT[0]), (tmp_path / "l2", results("l2"))]), [])
    assert html.count("Loss term ") == 1
    assert "Loss term distillation" in html
    assert re.findall("<figcaption>(distillation|gradient cosine|learning rate|Last)</figcaption>", html) == [
        "distillation",
        "gradient cosine",
    ]
    assert "Of single runs: gift, seed 0." in html


def test_nothing_from_a_file_becomes_markup():
    picture = Image.new("RGB", (32, 32), "red")
    hostile = [
        results(HOSTILE, seed, experiences=[HOSTILE, "$"], benchmark=HOSTILE, config={HOSTILE: HOSTILE, "alpha": seed // 2})
        for seed in range(4)
    ]
    hostile += [results("l2", 0, experiences=[HOSTILE, "$"], benchmark=HOSTILE, versions={HOSTILE: HOSTILE})]
    odd = Experiment.read(
        record(what=HOSTILE, world=HOSTILE, protocol=HOSTILE, not_there=[HOSTILE], rows={HOSTILE: {HOSTILE: {"ours": 1.0}}}),
        png(),
    )
    html = page_of(*hostile, sheets=[Sheet(HOSTILE, [(picture, HOSTILE, 0.25)], 1)], experiments=[odd])
    assert html.count("<script") == 2
    assert html.count("</script>") == 2
    assert not re.search('<img (?!src="data:)', html)
    assert "<!--" not in html.split("</style>")[1]
    assert "similarity 0.250" in html


def test_pictures_are_made_small_and_few(tmp_path):
    large = Image.effect_noise((1000, 500), 50)
    write_page(tmp_path / "page.html", placed(GIFT), [Sheet("t", [(large, "noise", None)] * 8, 9)] * 14)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg") == 12 * 8
    assert "2 more tasks not shown" in html
    assert len(html) < 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_nothing_is_fetched():
    html = page_of(*GIFT, *FINETUNE, experiments=[Experiment.read(record("figure5"), png())])
    assert "//" not in re.sub('<(style|script).*?</(style|script)>|;base64,[^"]*', "", html, flags=re.S)
    assert "url(" not in re.sub(r"url\(#p[0-9a-f]+\)", "", html)
    assert "default-src 'none'; img-src data:;" in html


def test_two_charts_share_no_id():
    ids = re.findall('<[^>]* id="([^"]*)"', page_of(*GIFT, *FINETUNE))
    assert sorted(ids) == sorted(set(ids))


def test_five_hundred_runs_make_a_page_that_is_small_and_quick():
    found = many(500)
    start = time.process_time()
    html = page_of(*found)
    assert time.process_time() - start < 30
    assert len(html.encode()) < 3_000_000
    assert len(runs_table(html)) == 500
    assert html.count("<svg role") < 100


@pytest.fixture
def folder(tmp_path):
    for result in (*GIFT, *FINETUNE):
        write_results(tmp_path / "runs" / result["strategy"] / f"seed-{result['seed']}" / "results.json", result)
    task = TaskFolder(tmp_path / "runs" / "pictures" / "task-00")
    task.open({"task": "food"})
    with task.writer() as writer:
        picture = Image.new("RGB", (32, 32), "red")
        writer.add([(index, f"prompt number {index}.", index, picture, 1, None) for index in range(20)])
    return tmp_path


def test_the_command_prints_what_it_printed_and_writes_the_page_where_asked(folder, capsys):
    assert main(["report", str(folder / "runs")]) == 0
    plain = capsys.readouterr().out
    assert main(["report", str(folder / "runs"), "--html", str(folder / "new" / "page.html")]) == 0
    assert capsys.readouterr().out == plain + f"Page: {folder / 'new' / 'page.html'}\n"
    html = (folder / "new" / "page.html").read_text(encoding="utf-8")
    assert len(runs_table(html)) == 2
    assert "food (pictures) <small>8 of 20</small>" in html
    assert re.findall(r"prompt number (\d+)\.", html) == ["0", "2", "5", "7", "10", "12", "15", "17"]


def test_pictures_that_cannot_be_read_are_named_and_left_out(folder, capsys):
    (folder / "runs" / "pictures" / "task-00" / "00002.png").write_bytes(b"no picture")
    assert main(["report", str(folder / "runs"), "--html", str(folder / "page.html")]) == 0
    assert "00002.png" in capsys.readouterr().err
    assert "No store of pictures" in (folder / "page.html").read_text(encoding="utf-8")


def test_tables_of_the_paper_have_ours_the_papers_and_the_difference():
    html = page_of(*GIFT, experiments=[Experiment.read(record(), None)])
    assert "Table 3, mini: what it shows" in html and "Not the paper&#x27;s. Seeds 0, 1." in html
    assert rows(html, 'class="experiment"') == [
        ["CD", "85.0 ± 1.4", "84.7", "+0.3", "-"],
        ["l2", "-", "75.9", "-", "60.0"],
    ]
    heads = re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", html[html.index('class="experiment"') :])[:5]
    assert heads == ["", "Last", "Last (paper)", "difference", "Average"]
    assert "Not there: 1</summary><ul><li>EWC, seed 0: not run</li>" in html
    assert "The paper's tables" not in page_of(*GIFT)


def test_deltas_have_columns_and_a_sentence_that_says_what_they_are_above():
    cell = {"ours": 50.0, "values": [50.0], "ours_delta": -3.04, "paper": 86.0, "paper_delta": 20.7}
    made = record(rows={"GIFT": {"Last": cell}}, deltas="Δ: points above zero-shot.")
    html = page_of(*GIFT, experiments=[Experiment.read(made, None)])
    assert rows(html, 'class="experiment"') == [["GIFT", "50.0", "-3.0", "86.0", "+20.7"]]
    heads = re.findall(r"<th scope=\"col\"[^>]*>(.*?)</th>", html[html.index('class="experiment"') :])[:5]
    assert heads == ["", "Last", "Δ", "Last (paper)", "Δ (paper)"]
    assert "Δ: points above zero-shot." in html


def test_experiments_are_found_below_the_folders_tables_first_and_others_are_named(folder, capsys):
    results_folder = folder / "results" / "mini"
    results_folder.mkdir(parents=True)
    for name in ("table10", "table2", "figure4"):
        (results_folder / f"{name}.json").write_text(json.dumps(record(name)), encoding="utf-8")
    (results_folder / "figure4.png").write_bytes(png())
    strange = {
        "table4": "{}",
        "table5": "no JSON",
        "table6": "[]",
        "figure3": json.dumps(record("figure3")),
        "table7": json.dumps(record(rows={"a": {"b": {"ours": "many"}}})),
        "table8": json.dumps(record(seeds=None)),
    }
    for name, text in strange.items():
        (results_folder / f"{name}.json").write_text(text, encoding="utf-8")
    page_file = folder / "page.html"
    assert main(["report", str(folder / "runs"), str(folder / "results"), str(results_folder), "--html", str(page_file)]) == 0
    html, said = page_file.read_text(encoding="utf-8"), capsys.readouterr().err
    assert re.findall("<h3>((?:Table|Figure) .*?), mini", html) == ["Table 2", "Table 10", "Figure 4"]
    assert base64.b64encode(png()).decode() in html
    assert all(f"{name}.json'" in said for name in strange) and "figure4" not in said
