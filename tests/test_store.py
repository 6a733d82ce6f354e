import contextlib
import errno
import json
import os

import pytest
from pictures_made import Noise, contents, fill, planned
from PIL import Image

from avalanche_gift.generation import (
    FolderGenerator,
    StoreError,
    SyntheticStore,
    as_source,
    manifest as manifest_module,
    store as store_module,
)
from avalanche_gift.generation.manifest import sealed


@pytest.fixture
def store(tmp_path):
    store = SyntheticStore(tmp_path / "store")
    fill(store, Noise(), planned(), batch_size=4)
    return store


def test_a_folder_a_task_holds_pictures_manifest_and_meta(store):
    folder = store.root / "task-01"
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"0000{i}.png" for i in range(6)),
        "manifest.jsonl",
        "meta.json",
    ]
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [["index", "prompt", "seed", "file", "sha256", "attempts", "check"]] * 6
    assert [line["seed"] for line in lines] == list(range(420_000_000, 420_000_006))
    meta = json.loads((folder / "meta.json").read_text())
    assert (meta["task"], meta["position"], meta["generator"]) == ("food", 1, "Noise")
    assert store.positions() == [0, 1, 2]


def test_smaller_sets_are_prefixes_of_larger_ones(store, tmp_path):
    small, large = store.task(2).pairs(2), store.task(2).pairs(6)
    assert small[1] == large[1][:2] == list(planned()[2].prompts[:2])
    assert [p.tobytes() for p in small[0]] == [p.tobytes() for p in large[0][:2]]
    grown = SyntheticStore(tmp_path / "grown")
    fill(grown, Noise(), planned(2, drawn=6), drawn=6)
    assert fill(grown, Noise(), planned(6, drawn=6), drawn=6) == 3 * 4
    assert contents(grown.root) == contents(store.root)


def test_more_pictures_than_there_are_is_an_error(store):
    with pytest.raises(StoreError, match=r"expected 8 pictures in '.*', 2 are missing \(the first is 6\)"):
        store.task(0).pairs(8)


def test_the_differing_field_is_named(store):
    with pytest.raises(StoreError, match=r"made with other settings \(seed: there 42, asked 7\)"):
        fill(store, Noise(), planned(seed=7), seed=7)
    with pytest.raises(StoreError, match=r"format: there 'png', asked 'jpg'"):
        fill(store, Noise(), planned(), suffix="jpg")


def test_other_versions_are_no_obstacle(store):
    path = store.root / "task-00" / "meta.json"
    meta = store.task(0).meta() | {"versions": {"torch": "1.0"}}
    path.write_text(json.dumps(sealed(meta)))
    assert fill(store, Noise(), planned()) == 0


def test_other_prompts_are_noticed(store):
    plan = planned(skip=["pets"])
    differing = [task for task in plan if task.prompts != planned()[task.position].prompts]
    assert differing
    with pytest.raises(StoreError, match="has another prompt"):
        fill(store, Noise(), differing)


@pytest.mark.parametrize("torn", [b'{"index": 5, "pro', b"\x00\x00\x00"])
def test_a_torn_last_line_is_ignored_and_its_picture_made_again(store, torn):
    whole = contents(store.root)
    path = store.root / "task-00" / "manifest.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + torn)
    assert sorted(store.task(0).records()) == [0, 1, 2, 3, 4]
    assert fill(store, Noise(), planned()) == 1
    assert contents(store.root) == whole


def test_a_malformed_line_elsewhere_is_named(store):
    path = store.root / "task-00" / "manifest.jsonl"
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(StoreError, match=r"manifest\.jsonl', line 1: expected a record"):
        store.task(0).records()


@pytest.mark.parametrize("damage", ["remove", "truncate"])
def test_an_unreadable_picture_is_named_and_made_again(store, damage):
    path = store.root / "task-00" / "00003.png"
    content = path.read_bytes()
    path.unlink() if damage == "remove" else path.write_bytes(content[:40])
    with pytest.raises(StoreError, match=r"can't read the picture '.*00003\.png'"):
        store.task(0).pairs(6)
    assert len(store.task(0).pairs(3)[0]) == 3
    assert fill(store, Noise(), planned()) == 1
    assert path.read_bytes() == content
    assert len(store.task(0).pairs(6)[0]) == 6


def test_disk_full_is_one_error_and_what_exists_stays_valid(tmp_path, monkeypatch):
    store, real = SyntheticStore(tmp_path / "store"), store_module.write_aside

    def full(path, content, label=""):
        if path.name == "00005.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(store_module, "write_aside", full)
    with pytest.raises(StoreError, match=r"can't write pictures into '.*task-00': No space left on device; those recorded"):
        fill(store, Noise(), planned()[:1], batch_size=4)
    assert len(store.task(0).pairs(4)[0]) == 4
    monkeypatch.setattr(store_module, "write_aside", real)
    assert fill(store, Noise(), planned()[:1]) == 2


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"can't write '.*meta\.json'"):
        fill(SyntheticStore(tmp_path / "store"), Noise(), planned())


def test_no_two_writers_on_one_file(store):
    with store.task(0).writer(), pytest.raises(StoreError, match="another process writes"), store.task(0).writer():
        pass


def test_parts_of_several_processes_are_read_as_one_and_merge_to_the_same(store, tmp_path):
    parts = SyntheticStore(tmp_path / "parts")
    for number in (2, 3):
        fill(parts, Noise(), planned(), shard=(number, 3), batch_size=1)
    folder = parts.task(0)
    assert sorted(folder.records()) == [1, 2, 4, 5]
    assert [path.name for path in folder.parts()] == ["manifest-2-of-3.jsonl", "manifest-3-of-3.jsonl"]
    fill(parts, Noise(), planned(), shard=(1, 3))
    assert contents(parts.root) == contents(store.root)
    assert fill(parts, Noise(), planned()) == 0


def test_parts_wait_while_one_is_written(tmp_path):
    store = SyntheticStore(tmp_path / "store")
    fill(store, Noise(), planned(), shard=(1, 2))
    with store.task(0).writer(shard=(1, 2)):
        assert not store.task(0).merge()
    assert store.task(0).merge()


def test_half_written_files_of_a_killed_process_are_removed(store):
    folder = store.root / "task-00"
    (folder / "manifest.jsonl").unlink()
    (folder / ".00001.png.2-of-3.abc").write_bytes(b"half")
    others = [".00001.png.1-of-2.abc", ".00001.png.2-of-33.abc", ".00002.png.3-of-3.abc", ".00003.png.abc"]
    for name in others:
        (folder / name).write_bytes(b"of another process, which may still write it")
    fill(store, Noise(), planned(), shard=(2, 3))
    assert sorted(path.name for path in folder.glob(".0*")) == others


def test_overlapping_parts_of_one_store_leave_each_others_half_written_files_alone(tmp_path, monkeypatch):
    """1/2 beside 1/4, 2/2 beside 4/4, and a part of one beside all of them: the first has a picture half written."""
    for number, (writing, starting) in enumerate([((1, 4), (1, 2)), ((4, 4), (2, 2)), ((3, 4), (1, 1)), ((1, 1), (1, 2))]):
        store = SyntheticStore(tmp_path / f"store-{number}")
        real = os.replace

        def replaced(aside, path, store=store, starting=starting, real=real):
            if str(path).endswith(".png"):
                with monkeypatch.context() as patch:
                    patch.setattr(os, "replace", real)
                    fill(store, Noise(), planned()[:1], shard=starting)
            real(aside, path)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replaced)
            fill(store, Noise(), planned()[:1], shard=writing)
        fill(store, Noise(), planned()[:1])
        assert len(store.task(0).pairs(6)[0]) == 6


def test_half_written_files_of_all_parts_are_gone_once_they_are_merged(tmp_path):
    store = SyntheticStore(tmp_path / "store")
    fill(store, Noise(), planned()[:1], shard=(1, 2))
    for name in (".00001.png.2-of-4.abc", ".00003.png.abc"):
        (store.root / "task-00" / name).write_bytes(b"half")
    fill(store, Noise(), planned()[:1], shard=(2, 2))
    assert not list((store.root / "task-00").glob(".0*"))
    assert len(store.task(0).pairs(6)[0]) == 6


# ---- checksums


def drop_check(path):
    """A file of an earlier release, or one that someone has altered and whose checksums he has taken out."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.suffix == ".jsonl" else None
    if lines is None:
        values = json.loads(path.read_text())
        del values["check"]
        path.write_text(json.dumps(values))
    else:
        rows = [{name: value for name, value in line.items() if name != "check"} for line in lines]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(("name", "old", "new"), [("meta.json", '"food"', '"fool"'), ("dropped.json", "[1, 4]", "[1, 5]")])
def test_an_altered_file_of_a_store_is_named(store, name, old, new):
    store.task(1).drop([1, 4], share=0.4)
    path = store.root / "task-01" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StoreError, match=rf"can't read '.*{name}': the checksum .*: altered; put it back"):
        store.task(1).meta(), store.task(1).kept()


def test_a_line_whose_checksum_was_taken_out_is_named(store):
    drop_check(store.root / "task-00" / "manifest.jsonl")
    with pytest.raises(StoreError, match=r"line 1: .*a checksum as `check`, got none: altered; remove that line"):
        store.task(0).records()


def test_a_store_of_an_earlier_release_without_checksums_is_read_and_gone_on_with(store):
    for path in (store.root / "task-00").glob("m*.json*"):
        drop_check(path)
    assert len(store.task(0).pairs(6)[0]) == 6
    path = store.root / "task-00" / "manifest.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    assert fill(store, Noise(), planned()) == 2
    assert len(store.task(0).pairs(6)[0]) == 6


# ---- what is no file


@pytest.mark.parametrize("name", ["meta.json", "dropped.json", "manifest.jsonl", "00000.png"])
def test_a_named_pipe_in_a_store_is_refused_by_name(store, name):
    path = store.root / "task-00" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(StoreError, match=rf"{name}.*a named pipe, not a file"):
        store.task(0).pairs(6)


def test_a_manifest_is_not_written_through_a_link_or_into_a_named_pipe(store, tmp_path):
    path, target = store.root / "task-00" / "manifest-1-of-2.jsonl", tmp_path / "target"
    target.write_text("precious")
    for make in (os.mkfifo, lambda path: os.symlink(target, path)):
        make(path)
        with pytest.raises(StoreError, match=r"can.t write .*manifest-1-of-2"), store.task(0).writer(shard=(1, 2)):
            pass
        path.unlink()
    assert target.read_text() == "precious"


def test_jpeg_is_what_pillow_makes_by_default(tmp_path):
    store = SyntheticStore(tmp_path / "store")
    fill(store, Noise(), planned()[:1], suffix="jpg")
    task = planned()[0]
    Noise().generate(task.prompts[:1], task.seeds[:1])[0].save(tmp_path / "expected.jpg")
    assert (store.root / "task-00" / "00000.jpg").read_bytes() == (tmp_path / "expected.jpg").read_bytes()


def test_other_readers_understand_a_store(store):
    folder = FolderGenerator(store.root / "task-00")
    assert len(folder) == 6
    source = as_source(store.root)
    pictures, prompts = source.pairs(4, seed=1, exclude=[planned()[0].prompts[0]])
    assert len(pictures) == 4
    assert planned()[0].prompts[0] not in prompts
    assert isinstance(pictures[0], Image.Image)


# ---- dropped by a filter


def test_what_a_filter_drops_readers_leave_out_and_the_files_stay(store):
    folder, before = store.task(1), contents(store.root)
    folder.drop([4, 1], share=0.4, model="mini")
    assert [record.index for record in folder.kept()] == [0, 2, 3, 5]
    assert len(folder.pairs(3)[0]) == 2
    assert folder.dropped() == {"share": 0.4, "model": "mini", "indices": [1, 4]}
    assert fill(store, Noise(), planned()) == 0
    assert len(store.pairs(100, seed=0)[0]) == 3 * 6 - 2
    folder.drop([])
    assert len(folder.kept()) == 6
    assert {name: content for name, content in contents(store.root).items() if not name.endswith("dropped.json")} == before


def test_a_damaged_list_of_dropped_pictures_is_named(store):
    (store.root / "task-00" / "dropped.json").write_text('{"indices": 3}')
    with pytest.raises(StoreError, match=r"dropped\.json': expected a list of indices, got 3"):
        store.task(0).kept()


# ---- what else a user or a killed process can do to a store


def test_pictures_without_meta_are_not_taken_for_those_asked_for(store):
    (store.root / "task-00" / "meta.json").unlink()
    with pytest.raises(StoreError, match=r"pictures in '.*task-00' but no meta\.json"):
        fill(store, Noise(), planned())


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "expected an object of JSON, got list"), ("{", "Expecting property name")]
)
def test_a_damaged_meta_is_named(store, text, message):
    (store.root / "task-00" / "meta.json").write_text(text)
    with pytest.raises(StoreError, match=rf"can't read '.*meta\.json': {message}"):
        fill(store, Noise(), planned())


def test_a_record_that_leads_out_of_the_folder_is_refused(store):
    path = store.root / "task-00" / "manifest.jsonl"
    path.write_text(path.read_text().replace('"00001.png"', '"../../00001.png"'))
    with pytest.raises(StoreError, match=r"line 2: .*the name of a file in that folder, got '\.\./\.\./00001\.png'"):
        store.task(0).records()


def test_a_line_that_fits_in_part_only_is_disk_full_and_torn(tmp_path, monkeypatch):
    """An unbuffered file writes what fits and says how much; nothing is raised."""
    store = SyntheticStore(tmp_path / "store")

    class Short:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            return self.file.write(content[:30])

        def fileno(self):
            return self.file.fileno()

    @contextlib.contextmanager
    def short(path, wait=False):
        with manifest_module.open_locked(path, wait) as file:
            yield Short(file)

    monkeypatch.setattr(store_module, "open_locked", short)
    with pytest.raises(StoreError, match="No space left on device"):
        fill(store, Noise(), planned()[:1])
    monkeypatch.undo()
    assert not store.task(0).records()
    assert fill(store, Noise(), planned()[:1]) == 6
    assert len(store.task(0).pairs(6)[0]) == 6


def test_a_part_merged_while_it_is_read_is_read_from_the_whole(tmp_path, monkeypatch):
    store, real = SyntheticStore(tmp_path / "store"), store_module.read_manifest
    for number in (2, 1):
        with monkeypatch.context() as patch:
            patch.setattr(store_module.TaskFolder, "merge", lambda self: False)
            fill(store, Noise(), planned()[:1], shard=(number, 2))
    reader = store.task(0)

    def merged_meanwhile(path, **options):
        monkeypatch.setattr(store_module, "read_manifest", real)
        assert SyntheticStore(store.root).task(0).merge()
        return real(path, **options)

    monkeypatch.setattr(store_module, "read_manifest", merged_meanwhile)
    assert sorted(reader.records()) == list(range(6))
    assert [path.name for path in reader.parts()] == ["manifest.jsonl"]
