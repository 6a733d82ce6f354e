"""Properties that hold for any input: parsers, prompts and their pool, files that were cut or altered, metrics, batches, the
schedule, consolidation, and the command line's arguments. The examples are the same in every run.
"""

import contextlib
import csv
import io
import itertools
import json
import math
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings, strategies as st
from torch import nn

from avalanche_gift.cli import main, parser
from avalanche_gift.cli_errors import explain
from avalanche_gift.cli_run import _options
from avalanche_gift.consolidation import (
    consolidate_,
    consolidate_adaptively_,
    consolidation_gradient,
    consolidation_penalty,
    fisher_weights,
)
from avalanche_gift.evaluation import continual_metrics, read_results, write_results
from avalanche_gift.evaluation.results import ResultsError
from avalanche_gift.generation import FolderGenerator
from avalanche_gift.generation.making import plan_tasks, retry_seed, shard_of_process
from avalanche_gift.generation.manifest import Record, StoreError, read_manifest
from avalanche_gift.names import check_name
from avalanche_gift.prompts import PromptSampler, class_prompts, fill, prompt_pool
from avalanche_gift.schedule import warmup_cosine
from avalanche_gift.training.batches import EndlessBatches, rows_of_batch
from avalanche_gift.training.checkpoint_files import INDEX, CheckpointError, Checkpoints
from avalanche_gift.training.plugins.static_fisher import parse_static_fisher
from avalanche_gift.training.teacher import parse_teacher

settings.register_profile("stable", derandomize=True, deadline=None, max_examples=60, database=None)
settings.load_profile("stable")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = st.text("abcdefgh_-", min_size=1, max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# ---- parsers


@given(st.dictionaries(words, st.dictionaries(words, plain, min_size=1, max_size=3), max_size=3))
def test_settings_are_read_as_they_were_written(wanted):
    given_ = [f"{strategy}.{name}={json.dumps(value)}" for strategy, own in wanted.items() for name, value in own.items()]
    assert _options(given_) == wanted


@given(texts)
def test_any_setting_is_read_or_refused(text):
    try:
        ((strategy, own),) = _options([text]).items()
    except ValueError as error:
        assert str(error) == f"expected --set STRATEGY.OPTION=VALUE, got {text!r}"
    else:
        ((option, value),) = own.items()
        assert text.startswith(f"{strategy}.{option}=") and (not isinstance(value, str) or value in text or '"' in text)


@given(st.floats(0, 1))
def test_a_share_of_the_teacher_is_read_exactly(share):
    assert parse_teacher(f"wise:{share!r}") == share


@given(st.one_of(texts, texts.map("wise:{}".format), finite.map("wise:{}".format)))
def test_any_teacher_is_a_share_or_refused(text):
    try:
        assert 0 <= parse_teacher(text) <= 1
    except ValueError as error:
        assert repr(text) in str(error)


@given(st.integers(1, 10**6))
def test_a_number_of_fisher_pictures_is_read_in_both_forms(count):
    assert parse_static_fisher(count) == parse_static_fisher(str(count)) == (count, False)
    assert parse_static_fisher(f"reference:{count}") == (count, True)


@given(st.one_of(texts, texts.map("reference:{}".format), st.integers(max_value=0)))
def test_any_fisher_is_a_number_of_pictures_or_refused(text):
    try:
        count, reference = parse_static_fisher(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert count > 0 and reference == ("reference" in str(text))


@given(st.integers(1, 100), st.integers(1, 100), texts)
def test_parts_are_read_or_refused(number, of, text):
    assume(number <= of)
    assert shard_of_process(f"{number}/{of}") == (number, of)
    for bad in (f"{of + 1}/{of}", f"0/{of}", f"-{number}/{of}"):
        with pytest.raises(ValueError, match="expected --shard K/N"):
            shard_of_process(bad)
    with contextlib.suppress(ValueError):
        first, last = shard_of_process(text)
        assert 1 <= first <= last


@given(st.lists(texts.filter(str.strip), min_size=1, max_size=6))
def test_listed_prompts_are_read_as_they_were_written(prompts):
    with folder() as root:
        lines = io.StringIO(newline="")
        writer = csv.writer(lines)
        writer.writerow(["note", "prompt", "file"])
        for number, prompt in enumerate(prompts):
            (root / f"{number}.png").touch()
            writer.writerow(["x, y", prompt, f"{number}.png"])
        (root / "prompts.csv").write_bytes(lines.getvalue().encode())
        found = FolderGenerator(root)
    assert found.prompts == tuple(dict.fromkeys(prompts)) and len(found) == len(prompts)


@given(
    st.one_of(st.binary(max_size=60), texts.map(lambda text: f"file,prompt\n{text}".encode())),
    st.sampled_from(["csv", "jsonl"]),
)
def test_any_list_of_prompts_is_read_or_refused_by_its_name(content, suffix):
    with folder() as root:
        (root / f"prompts.{suffix}").write_bytes(content)
        with pytest.raises((ValueError, FileNotFoundError), match=rf"prompts\.{suffix}|there is no file"):
            FolderGenerator(root)


@given(words, st.lists(words, min_size=1, max_size=5, unique=True))
def test_a_name_is_itself_or_refused_with_what_there_is(name, available):
    if name in available:
        assert check_name("word", name, available) == name
    else:
        with pytest.raises(ValueError, match="unknown word") as raised:
            check_name("word", name, available)
        assert all(one in str(raised.value) for one in available)


@given(st.text(max_size=200), st.sampled_from([ValueError, KeyError, TypeError, RuntimeError, OSError, MemoryError]))
def test_an_error_is_explained_in_one_line_and_a_code(text, kind):
    message, code = explain(kind(text), "less")
    assert message.splitlines() in ([message], []) and code in (1, 2)


# ---- prompts


names = st.lists(texts.filter(str.strip), min_size=1, max_size=5, unique=True)


@given(names, texts)
def test_class_names_stand_in_their_prompts_unchanged(class_names, around):
    template = around.replace("{c}", "") + "{c}"
    assume(template.count("{c}") == 1)
    prompts = class_prompts(class_names, [template, "{c}"])
    assert [of_class[1] for of_class in prompts] == class_names
    assert [of_class[0] for of_class in prompts] == [fill(template, name) for name in class_names]
    assert all(of_class[0].endswith(name) for of_class, name in zip(prompts, class_names, strict=True))


@given(st.lists(texts), st.lists(st.lists(texts)))
def test_the_pool_is_all_prompts_in_their_order(base, learned):
    assert prompt_pool(base, learned) == [*base, *itertools.chain(*learned)]


@given(st.integers(0, 2**32), st.lists(texts, min_size=1), st.lists(st.integers(1, 700), min_size=1, max_size=4), st.data())
def test_a_sampler_that_was_stopped_draws_what_one_that_was_not_draws(seed, pool, counts, data):
    whole = PromptSampler(seed)
    wanted = [whole.draw(pool, count) for count in counts]
    stop = data.draw(st.integers(0, len(counts)))
    first, second = PromptSampler(seed), PromptSampler(0)
    found = [first.draw(pool, count) for count in counts[:stop]]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert found + [second.draw(pool, count) for count in counts[stop:]] == wanted
    assert set(itertools.chain(*wanted)) <= set(pool)


@given(names, st.lists(names, min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 4), st.integers(0, 2**32))
def test_plans_are_prefixes_of_larger_ones_with_seeds_of_their_own(base, learned, images, fewer, seed):
    tasks = [(str(number), prompts) for number, prompts in enumerate(learned)]
    large = plan_tasks(base, tasks, images=images, seed=seed)
    small = plan_tasks(base, tasks, images=max(1, images - fewer), seed=seed, drawn=images)
    seen = list(base)
    for few, many, (_, own) in zip(small, large, tasks, strict=True):
        assert (few.prompts, few.seeds) == (many.prompts[: len(few.prompts)], many.seeds[: len(few.seeds)])
        assert many.pool == tuple(dict.fromkeys(seen)) and set(many.prompts) <= set(many.pool)
        seen += own
    seeds = [retry_seed(one, attempt) for task in large for one in task.seeds for attempt in range(1, 6)]
    assert len(set(seeds)) == len(seeds) and all(0 <= one < 2**63 for one in seeds)


# ---- files that were cut or altered


def spoilt(content, data):
    """The content cut short, or with one byte altered."""
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        return content[:place]
    return content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1 :]


records = st.builds(
    Record,
    index=st.integers(0, 10**6),
    prompt=texts,
    seed=st.integers(0, 2**63),
    file=st.from_regex(r"[0-9]{5}\.png", fullmatch=True),
    sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    attempts=st.integers(1, 5),
    dropped=st.none() | st.just("black"),
)


@settings(max_examples=250)
@given(st.lists(records, min_size=1, max_size=4), st.data())
def test_a_manifest_is_read_as_written_and_never_otherwise(written, data):
    with folder() as root:
        path = root / "manifest.jsonl"
        content = "".join(record.line() for record in written).encode()
        path.write_bytes(content)
        assert read_manifest(path) == written
        path.write_bytes(spoilt(content, data))
        try:
            found = read_manifest(path)
        except StoreError as error:
            assert str(path) in str(error)
        else:
            assert found == written[: len(found)]


percent = st.floats(0, 100)


@st.composite
def matrices(draw, rows=None, values=percent, most=5):
    """Rows of a stream, all of them or the first few; a row before training is not among them."""
    width = draw(st.integers(1, most))
    height = width if rows == "all" else draw(st.integers(1, width))
    return [[draw(values) for _ in range(width)] for _ in range(height)]


def made_results(matrix, config):
    return {
        "schema_version": 1,
        "strategy": "gift",
        "seed": 0,
        "benchmark": "mini",
        "experiences": [f"task {number}" for number in range(len(matrix))],
        "config": config,
        "versions": {"python": "3"},
        "accuracy": [matrix[0], *matrix],
        "metrics": continual_metrics(matrix),
        "seconds": 1.5,
        "peak_memory_bytes": 10,
    }


@settings(max_examples=150)
@given(matrices("all"), st.dictionaries(words, plain, max_size=3), st.data())
def test_results_are_read_as_written_and_never_otherwise(matrix, config, data):
    results = made_results(matrix, config)
    with folder() as root:
        path = root / "results.json"
        write_results(path, results)
        assert read_results(path) == results
        path.write_bytes(spoilt(path.read_bytes(), data))
        try:
            assert read_results(path) == results
        except ResultsError as error:
            assert str(error).startswith(f"{path}: ")


@st.composite
def states(draw):
    """What a strategy may hand out: tensors and plain values under names."""
    seed = draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    return {"tensors": {name: torch.randn(shape, generator=generator) for name in draw(st.sets(words, max_size=3))},
            "values": draw(st.dictionaries(words, plain, max_size=3))}  # fmt: skip


def equal(first, second):
    tensors = first["tensors"].keys() == second["tensors"].keys() and all(
        torch.equal(one, second["tensors"][name]) for name, one in first["tensors"].items()
    )
    return tensors and first["values"] == second["values"]


@settings(max_examples=100)
@given(st.lists(states(), min_size=2, max_size=2), st.data())
def test_a_checkpoint_is_read_as_written_and_never_otherwise(pair, data):
    with folder() as root:
        checkpoints = Checkpoints(root)
        places = [(0, 0), (0, 10)]
        for place, state in zip(places, pair, strict=True):
            checkpoints.write(*place, state)
        assert checkpoints.newest() == places[-1]
        assert all(equal(checkpoints.read(*place), state) for place, state in zip(places, pair, strict=True))
        path = data.draw(st.sampled_from(sorted(root.iterdir())))
        path.write_bytes(spoilt(path.read_bytes(), data))
        try:
            found = [(place, checkpoints.read(*place)) for place in places]
            assert checkpoints.newest() == places[-1]
        except CheckpointError as error:
            assert path.name in str(error) or path.name == INDEX
        else:
            assert all(equal(state, pair[places.index(place)]) for place, state in found)


# ---- metrics


@given(matrices())
def test_metrics_lie_between_the_least_and_the_greatest_accuracy(rows):
    cells = list(itertools.chain(*rows))
    for name, value in continual_metrics(rows).items():
        if name == "forgetting":
            assert value is None if len(rows) == 1 else abs(value) <= 100 * len(rows) / (len(rows) - 1) + 1e-9
        else:
            assert (
                value is None if name == "transfer" and len(rows[0]) == 1 else min(cells) - 1e-9 <= value <= max(cells) + 1e-9
            )


@given(matrices(), st.floats(-50, 50))
def test_an_offset_moves_every_metric_but_forgetting(rows, offset):
    before, after = continual_metrics(rows), continual_metrics([[value + offset for value in row] for row in rows])
    for name, value in before.items():
        shift = 0 if name == "forgetting" else offset
        assert after[name] is None if value is None else math.isclose(after[name], value + shift, abs_tol=1e-9)


@given(matrices(), st.randoms(use_true_random=False))
def test_average_and_last_do_not_depend_on_the_order_of_the_experiences(rows, random):
    order = list(range(len(rows[0])))
    random.shuffle(order)
    before, after = continual_metrics(rows), continual_metrics([[row[column] for column in order] for row in rows])
    assert all(math.isclose(before[name], after[name], abs_tol=1e-9) for name in ("average", "last"))


@given(st.integers(1, 6), percent)
def test_of_equal_accuracies_every_metric_is_that_one_and_nothing_is_forgotten(size, value):
    found = continual_metrics([[value] * size] * size)
    assert all(math.isclose(found[name], value, abs_tol=1e-9) for name in ("average", "last"))
    assert found["transfer"] is None if size == 1 else math.isclose(found["transfer"], value, abs_tol=1e-9)
    assert found["forgetting"] is None if size == 1 else found["forgetting"] == 0


# ---- batches and the schedule

seeds = st.none() | st.tuples(st.integers(0, 2**32), st.integers(0, 10))


@given(st.integers(1, 60), st.integers(1, 20), seeds, st.integers(0, 3))
def test_each_pass_goes_through_every_row_once(count, batch_size, seed, number):
    batches = -(-count // batch_size)
    rows = [rows_of_batch(count, number * batches + k, batch_size=batch_size, seed=seed) for k in range(batches)]
    assert sorted(torch.cat(rows).tolist()) == list(range(count))
    assert all(len(batch) == batch_size for batch in rows[:-1])


@given(st.integers(1, 60), st.integers(1, 20), seeds, st.integers(0, 40))
def test_batches_from_any_iteration_on_are_the_rest_of_all_batches(count, batch_size, seed, first):
    whole = EndlessBatches(count, 0, batch_size=batch_size, seed=seed)
    rest = EndlessBatches(count, first, batch_size=batch_size, seed=seed)
    wanted = list(itertools.islice(whole, first + 10))
    assert list(itertools.islice(rest, 10)) == wanted[first:]
    assert wanted == [rows_of_batch(count, k, batch_size=batch_size, seed=seed).tolist() for k in range(first + 10)]


@given(st.floats(1e-8, 10), st.integers(1, 200), st.integers(0, 200))
def test_the_rate_rises_to_its_base_and_falls_to_zero(base_lr, iterations, warmup):
    assume(warmup < iterations)
    rates = [warmup_cosine(k, base_lr=base_lr, iterations=iterations, warmup=warmup) for k in range(iterations + 2)]
    assert all(0 <= rate <= base_lr * (1 + 1e-12) for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup]) and rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert math.isclose(rates[warmup], base_lr) and rates[iterations:] == [0, 0]


# ---- consolidation


@given(
    st.integers(0, 2**31),
    st.lists(st.integers(1, 4), max_size=3),
    st.floats(0, 10),
    st.sampled_from(["one", "number", "tensor"]),
)
def test_consolidation_in_closed_form_is_that_of_autograd(seed, shape, weight, kind):
    generator = torch.Generator().manual_seed(seed)
    value, anchor, before = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    fisher = {"one": 1.0, "number": 0.3, "tensor": torch.rand(shape, generator=generator, dtype=torch.float64)}[kind]
    parameter = nn.Parameter(value.clone())
    penalty = consolidation_penalty(parameter, anchor, fisher)
    (gradient,) = torch.autograd.grad(penalty, parameter)
    torch.testing.assert_close(consolidation_gradient(value, anchor, fisher), gradient)
    for start in (None, before):
        parameter.grad = None if start is None else start.clone()
        found = consolidate_(parameter, anchor, weight=weight, fisher=fisher)
        torch.testing.assert_close(found, weight * penalty.detach())
        torch.testing.assert_close(parameter.grad, weight * gradient + (0 if start is None else start))


@given(st.integers(0, 2**31), st.lists(st.integers(1, 4), max_size=3), st.floats(0, 10), st.booleans())
def test_adaptive_consolidation_is_that_by_fisher_weights(seed, shape, weight, flat):
    generator = torch.Generator().manual_seed(seed)
    value, anchor, gradient = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    one, other = nn.Parameter(value.clone()), nn.Parameter(value.clone())
    one.grad = gradient * 0 if flat else gradient.clone()
    other.grad = one.grad.clone()
    penalty = consolidate_(one, anchor, weight=weight, fisher=fisher_weights(one.grad))
    torch.testing.assert_close(consolidate_adaptively_(other, anchor, weight=weight), penalty)
    torch.testing.assert_close(other.grad, one.grad)


# ---- the command line

REQUIRED = {"run": ["--out", "out"], "generate": ["--out", "store"], "report": ["out"], "prompts": ["mtil"]}
VALUES = """0 1 -1 2/3 1.5 nan inf 1e999 abc I III a=b l2.l2_weight=1 l2.x=2 l2.l2_weight=x l2 gift finetune zero-shot all mini
folders digits mtil cifar100 cpu gpu cuda:9 meta png jpg wise:0.5 previous feature MNIST DTD shapes out tasks 🔥 {} % ' \""""


values = st.sampled_from(["", " ", "a\nb", "\0", *VALUES.split()])
SUBPARSERS = next(action for action in parser()._actions if isinstance(action.choices, dict)).choices


def usual(action):
    """An option of the command line with a value of the kind that it takes; without one where it is a flag."""
    if action.nargs == 0:
        return st.just(())
    if action.choices is not None:
        return st.tuples(st.sampled_from(list(action.choices)))
    if action.type is not None:
        return st.tuples(st.sampled_from(["-1", "0", "1", "3"]) | values)
    return st.tuples(values | texts) if action.nargs is None else st.lists(values, min_size=1, max_size=2).map(tuple)


def options_of(command):
    actions = [one for one in SUBPARSERS[command]._actions if one.option_strings and one.dest not in ("help", "debug", "out")]
    return st.one_of([usual(action).map(lambda own, action=action: (action.option_strings[0], *own)) for action in actions])


junk = st.tuples(st.sampled_from(["--x", "-x", "--", "--version", "--help", "-", "--iterations"]) | values | texts)
calls = st.sampled_from(sorted(SUBPARSERS)).flatmap(
    lambda command: st.tuples(
        st.just(command), st.lists(options_of(command), max_size=4), st.one_of(st.just(()), st.just(()), st.just(()), junk)
    )
)


def no_work_in(root, patch):
    """Neither training nor drawing nor fetching: what is left are the arguments."""
    patch.chdir(root)
    patch.setattr("avalanche_gift.run.run", lambda config, folder, **options: {"strategy": config.strategy})
    patch.setattr("avalanche_gift.cli_run._show", lambda *results: None)
    patch.setattr("avalanche_gift.cli_data._download", lambda name, root: True)
    patch.setattr("avalanche_gift.cli_generate.make_generator", lambda arguments: object())
    patch.setattr("avalanche_gift.by_name.load_model", lambda name: torch.nn.Identity())
    for name in ("fill", "estimate", "drop_lowest"):
        patch.setattr(f"avalanche_gift.generation.job.Job.{name}", lambda self, *arguments: None)


@settings(max_examples=150)
@given(calls)
def test_any_arguments_end_in_a_code_and_no_traceback(called):
    command, options, rest = called
    arguments = [command, *REQUIRED.get(command, ()), *itertools.chain(*options), *rest]
    with pytest.MonkeyPatch.context() as patch, folder() as root:
        no_work_in(root, patch)
        printed = io.StringIO()
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            try:
                code = main(arguments)
            except SystemExit as end:
                code = end.code or 0
    assert code in (0, 1, 2), arguments
    lines = printed.getvalue().splitlines()
    assert not any("Traceback" in line for line in lines)
    assert "not expected" not in printed.getvalue(), printed.getvalue()
    assert (code == 0) == (not any(line.startswith("avalanche-gift: ") for line in lines)), (code, lines)
