"""The journal file: what comes back, what is refused, what happens when it cannot be written."""

import json
import os
import resource
import shutil
import sqlite3
import tempfile
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from spexjax import values
from spexjax.codes import gf2
from spexjax.store.store import Store, StoreError, StoreWarning, fingerprint, opened

N = 70


def some_masks(count, seed=0, n=N):
    return gf2.pack_numpy(np.random.default_rng(seed).random((count, n)) < 0.5, gf2.num_words(n))


def some_values(count, seed=0, outputs=()):
    return np.random.default_rng(seed).standard_normal((count, *outputs)).astype(np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.sqlite"


@pytest.fixture
def filled(path):
    """A closed store with 20 values of one function."""
    with Store(path) as store:
        store.journal("model, text", N).add(some_masks(20), some_values(20))
    return path


@pytest.mark.parametrize("n", [1, 8, 9, 32, 33, 70, 300])
@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
def test_values_come_back_as_they_were(path, n, outputs):
    masks = np.unique(some_masks(50, n=n), axis=0)
    answers = some_values(len(masks), outputs=outputs)
    with Store(path) as store:
        store.journal("f", n).add(masks[:-1], answers[:-1])
    with Store(path) as store:
        journal = store.journal("f", n)
        assert len(journal) == len(masks) - 1
        np.testing.assert_array_equal(journal.known(masks), np.arange(len(masks)) < len(masks) - 1)
        back = journal.lookup(masks[:-1][::-1])
        assert back.dtype == np.float32
        np.testing.assert_array_equal(back, answers[:-1][::-1])
        stored, values = journal.everything()
        np.testing.assert_array_equal(stored, masks[:-1])
        np.testing.assert_array_equal(values, answers[:-1])


def test_functions_are_kept_apart_and_listed(path):
    with Store(path) as store:
        store.journal("first", N).add(some_masks(5), some_values(5))
        second = store.journal("second", N)
        assert not second.known(some_masks(5)).any()
        second.add(some_masks(7), some_values(7, outputs=(2,)))
        store.journal("third", 9)
        assert [tuple(f)[1:] for f in store.functions()] == [
            ("first", N, 0, 5), ("second", N, 2, 7), ("third", 9, None, 0),
        ]  # fmt: skip


def test_values_that_are_not_finite_are_not_stored(path):
    answers = some_values(6, outputs=(2,))
    answers[[1, 4], [0, 1]] = np.nan, np.inf
    with Store(path) as store:
        store.journal("f", N).add(some_masks(6), answers)
    with Store(path) as store:
        np.testing.assert_array_equal(
            store.journal("f", N).known(some_masks(6)), [True, False, True, True, False, True]
        )


def test_another_writer_is_seen_at_once(path):
    with Store(path) as one, Store(path) as two:
        mine, other = one.journal("f", N), two.journal("f", N)
        mine.add(some_masks(5), some_values(5))
        assert not other.known(some_masks(5)).any()
        assert (other.refresh(), other.refresh()) == (5, 0)
        other.add(some_masks(4, 1), some_values(4, 1))
        mine.add(some_masks(3, 2), some_values(3, 2))
        assert (mine.refresh(), other.refresh()) == (4, 3)
        np.testing.assert_array_equal(mine.lookup(some_masks(4, 1)), some_values(4, 1))


def test_the_first_of_two_values_stays(path):
    with Store(path) as one, Store(path) as two:
        mine, other = one.journal("f", N), two.journal("f", N)
        mine.add(some_masks(5), some_values(5))
        other.add(some_masks(5), some_values(5, seed=1))
        assert mine.refresh() == 0
    for _ in range(2):
        with Store(path) as store:
            journal = store.journal("f", N)
            np.testing.assert_array_equal(journal.lookup(some_masks(5)), some_values(5))
            assert sum(f.values for f in store.functions()) in (5, 10)
            store.vacuum()
            assert store.functions()[0].values == 5


def test_merging_adds_what_is_missing(path, tmp_path):
    with Store(path) as store, Store(tmp_path / "other") as other:
        store.journal("f", N).add(some_masks(30), some_values(30))
        other.journal("f", N).add(some_masks(50), some_values(50))
        other.journal("g", 5).add(some_masks(3, n=5), some_values(3, outputs=(4,)))
        assert store.merge(other) == 23
        assert store.merge(other) == 0
        assert [f.values for f in store.functions()] == [50, 3]
        np.testing.assert_array_equal(store.journal("f", N).lookup(some_masks(50)), some_values(50))


def test_vacuum_keeps_every_value(path):
    masks = np.unique(some_masks(5000), axis=0)
    answers = some_values(len(masks))
    with Store(path) as store:
        journal = store.journal("f", N)
        for row in range(0, len(masks), 10):
            journal.add(masks[row : row + 10], answers[row : row + 10])
        store.vacuum()
        assert store.database.execute("SELECT COUNT(*) FROM chunks").fetchone() == (2,)
        np.testing.assert_array_equal(store.journal("f", N).lookup(masks), answers)
        journal.add(some_masks(3, 9), some_values(3, 9))
        assert len(store.journal("f", N)) == len(masks) + 3


@pytest.mark.parametrize("n,chunk", [(100, 500), (1000, 500)])
def test_fifty_thousand_values_take_less_than_a_second(path, n, chunk):
    masks, answers = some_masks(50_000, n=n), some_values(50_000)
    took = {"write": [], "read": []}
    for attempt in range(3):
        file = path.with_name(f"{attempt}")
        with Store(file) as store:
            journal = store.journal("f", n)
            start = time.perf_counter()
            for row in range(0, len(masks), chunk):
                journal.refresh()
                journal.add(masks[row : row + chunk], answers[row : row + chunk])
            took["write"].append(time.perf_counter() - start)
        start = time.perf_counter()
        with Store(file) as store:
            back = store.journal("f", n).lookup(masks)
        took["read"].append(time.perf_counter() - start)
        np.testing.assert_array_equal(back, answers)
    print(n, {name: min(seconds) for name, seconds in took.items()})
    assert min(took["write"]) < 0.5
    assert min(took["read"]) < 1.0


# Precision, and files of version 1


def wide_values(count, seed=0, outputs=()):
    """float64 numbers that float32 cannot hold: too long, too large or too small for it."""
    return some_values(count, seed, outputs).astype(np.float64) / 3 * 10.0 ** (50 * (seed % 3 - 1))


@pytest.mark.parametrize("outputs", [(), (1,), (3,)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_float64_comes_back_bit_for_bit(path, outputs, seed):
    masks, answers = some_masks(50), wide_values(50, seed, outputs)
    with Store(path) as store:
        journal = store.journal("f", N)
        journal.add(masks[:30], answers[:30])
        journal.add(masks[30:], answers[30:])
        before = journal.lookup(masks)
    with Store(path) as store:
        for back in (before, store.journal("f", N).lookup(masks)):
            assert back.dtype == np.float64
            np.testing.assert_array_equal(back, answers)
        np.testing.assert_array_equal(store.journal("f", N).everything()[1], answers)


def answer_bytes(path):
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT size, LENGTH(answers) FROM chunks ORDER BY id").fetchall()
    connection.close()
    return [length // size for size, length in rows]


def test_a_chunk_takes_eight_bytes_a_value_only_where_four_lose_something(path):
    masks = some_masks(40)
    with Store(path) as store:
        journal = store.journal("f", N)
        journal.add(masks[:10], np.arange(10))
        journal.add(masks[10:20], some_values(10).astype(np.float64))
        assert journal.lookup(masks[:20]).dtype == journal.everything()[1].dtype == np.float32
        journal.add(masks[20:30], np.r_[np.zeros(9), 0.1])
        journal.add(masks[30:], some_values(10))
        assert journal.lookup(masks[:1]).dtype == journal.everything()[1].dtype == np.float64
    assert answer_bytes(path) == [4, 4, 8, 4]
    with Store(path) as store:
        expected = np.r_[np.arange(10), some_values(10), np.zeros(9), 0.1, some_values(10)]
        back = store.journal("f", N).lookup(masks)
        assert back.dtype == np.float64
        np.testing.assert_array_equal(back, expected)


def test_merging_and_vacuum_keep_both_precisions(path, tmp_path):
    narrow, wide = some_masks(20), some_masks(20, 5)
    other = tmp_path / "other"
    with Store(path) as store, Store(other) as source:
        store.journal("f", N).add(narrow, some_values(20))
        source.journal("f", N).add(wide, wide_values(20))
        source.journal("g", N).add(narrow, some_values(20))
        assert store.merge(source) == 40
        for _ in range(2):
            back = store.journal("f", N).lookup(np.concatenate([narrow, wide]))
            np.testing.assert_array_equal(back, np.r_[some_values(20), wide_values(20)])
            assert store.journal("g", N).everything()[1].dtype == np.float32
            store.vacuum()
    assert answer_bytes(path) == [8, 4]


def version_1(path, masks, answers):
    """A store as spexjax 0.1 wrote it, from its description rather than by its code."""
    keys = np.packbits(gf2.unpack_numpy(masks, N), axis=1, bitorder="little").tobytes()
    blob = np.asarray(answers, "<f4").tobytes()
    head = json.dumps(["model, text", N, 0, len(keys)]).encode()
    connection = sqlite3.connect(path)
    for sql in (
        "CREATE TABLE functions (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, "
        "n INTEGER NOT NULL, outputs INTEGER)",
        "CREATE TABLE chunks (id INTEGER PRIMARY KEY AUTOINCREMENT, function INTEGER NOT NULL, "
        "size INTEGER NOT NULL, masks BLOB NOT NULL, answers BLOB NOT NULL, "
        "checksum INTEGER NOT NULL)",
        "CREATE INDEX chunks_of_function ON chunks (function, id)",
        "PRAGMA application_id = 1936745848",
        "PRAGMA user_version = 1",
        "PRAGMA journal_mode = WAL",
        f"INSERT INTO functions (key, n, outputs) VALUES ('model, text', {N}, 0)",
    ):
        connection.execute(sql)
    connection.execute(
        "INSERT INTO chunks (function, size, masks, answers, checksum) VALUES (1, ?, ?, ?, ?)",
        (len(masks), keys, blob, zlib.crc32(head + keys + blob)),
    )
    connection.commit()
    connection.close()


def test_a_store_of_version_1_is_read_and_continued(path):
    version_1(path, some_masks(20), some_values(20))
    before = path.read_bytes()
    with Store(path, read_only=True) as store:
        back = store.journal("model, text", N).lookup(some_masks(20))
    assert back.dtype == np.float32 and path.read_bytes() == before
    np.testing.assert_array_equal(back, some_values(20))
    with Store(path) as store:
        # So that a library which knows four bytes a value only does not take them for damaged.
        assert store.database.execute("PRAGMA user_version").fetchone() == (2,)
        store.journal("model, text", N).add(some_masks(7, 1), wide_values(7))
    with Store(path) as store:
        masks, values = store.journal("model, text", N).everything()
        np.testing.assert_array_equal(masks, np.r_[some_masks(20), some_masks(7, 1)])
        np.testing.assert_array_equal(values, np.r_[some_values(20), wide_values(7)])


# Files that are refused


def test_a_function_without_a_key_is_refused(path):
    with pytest.raises(StoreError, match="needs a store_key"), opened(path, lambda m: m, N):
        pass
    assert not path.exists()


@pytest.mark.parametrize("key", ["", "  ", 7, "x" * 200_000])
def test_a_key_is_a_text(path, key):
    with Store(path) as store, pytest.raises(StoreError, match="store_key must be a text"):
        store.journal(key, N)


def test_a_key_belongs_to_one_number_of_features_and_outputs(filled):
    with Store(filled) as store:
        with pytest.raises(StoreError, match="for a function of 70 features, not 71"):
            store.journal("model, text", 71)
        journal = store.journal("model, text", N)
        with pytest.raises(StoreError, match=r"one number per mask, but .* returns 3 outputs"):
            journal.add(some_masks(2, 5), some_values(2, outputs=(3,)))


def refused(path, message, **options):
    before = path.read_bytes()
    with pytest.raises(StoreError, match=message), Store(path, **options) as store:
        store.journal("model, text", N)
    assert path.read_bytes() == before


def test_other_files_are_refused_and_left_alone(path, tmp_path):
    path.write_text("my thesis, chapter 1: " * 100)
    refused(path, "not an SQLite file")
    other = tmp_path / "other"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE photos (id)")
    connection.close()
    refused(other, "not a spexjax store")
    with pytest.raises(StoreError, match="its folder does not exist"):
        Store(tmp_path / "no" / "calls.sqlite")
    with pytest.raises(StoreError, match="could not be opened"):
        Store(tmp_path)


def change(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_newer_version_is_refused(filled):
    change(filled, "PRAGMA user_version = 3")
    refused(filled, "written by a newer spexjax \\(format 3; this one reads 2\\)")


def test_a_version_that_never_was_is_refused(filled):
    change(filled, "PRAGMA user_version = 0")
    refused(filled, "its tables are not those of a store")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON chunks BEGIN DELETE FROM chunks; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE chunks",
        "ALTER TABLE chunks ADD COLUMN more",
    ],
)
def test_other_tables_are_refused(filled, sql):
    change(filled, sql)
    refused(filled, "its tables are not those of a store")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE chunks SET answers = zeroblob(80)",
        "UPDATE chunks SET answers = zeroblob(160)",
        "UPDATE chunks SET answers = substr(answers, 1, 76), size = 19",
        "UPDATE chunks SET size = 'many'",
        "UPDATE chunks SET size = -20",
        "UPDATE chunks SET masks = 'text'",
        "UPDATE chunks SET masks = zeroblob(180)",
        "UPDATE functions SET outputs = 20",
        "UPDATE functions SET outputs = 'x'",
        "UPDATE functions SET n = 'x'",
        "UPDATE functions SET n = 1e30",
    ],
)
def test_a_changed_value_is_not_believed(filled, sql):
    change(filled, sql)
    refused(filled, "is damaged")


def test_values_moved_to_another_function_are_not_believed(filled):
    change(filled, "UPDATE functions SET key = 'another'")
    with pytest.raises(StoreError, match="checksum"), Store(filled) as store:
        store.journal("another", N)


def test_a_cut_file_is_refused(path):
    with Store(path) as store:
        for seed in range(20):
            store.journal("model, text", N).add(some_masks(500, seed), some_values(500))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "damaged")


# Files that cannot be written


def test_a_full_disk_costs_no_values(path):
    with Store(path) as store:
        journal = store.journal("f", N)
        pages = store.database.execute("PRAGMA page_count").fetchone()[0]
        store.database.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.warns(StoreWarning, match="disk, or its quota, is full.*stay in memory"):
            for seed in range(5):
                journal.add(some_masks(400, seed), some_values(400, seed))
        assert len(journal) == 2000
        np.testing.assert_array_equal(journal.lookup(some_masks(400, 4)), some_values(400, 4))
        stored = store.functions()[0].values
        assert stored < 2000 and stored % 400 == 0
        store.database.execute("PRAGMA max_page_count = 100000")
        journal.flush()
        assert store.functions()[0].values == 2000
    with Store(path) as store:
        np.testing.assert_array_equal(
            store.journal("f", N).lookup(some_masks(400, 3)), some_values(400, 3)
        )


@contextmanager
def largest_file(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limited_file_size_costs_no_values(path):
    def f(masks):
        return masks.sum(axis=1)

    masks = some_masks(6000)
    with opened(path, f, N, "f") as journal, largest_file(60_000):
        with pytest.warns(StoreWarning, match="the disk"):
            got = values.evaluate(f, masks, N, 500, journal=journal)
        np.testing.assert_array_equal(got, f(gf2.unpack_numpy(masks, N)))
        assert journal.unsaved
        with pytest.warns(StoreWarning, match="the disk"):
            journal._warned = False
            journal.flush()
    with Store(path) as store:
        assert store.functions()[0].values == 6000  # closing tried once more, with room again
        assert store.database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@contextmanager
def ordinary_user():
    """Root may write to read-only files."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def read_only_folder(filled):
    folder = Path(tempfile.mkdtemp())
    shutil.copy(filled, folder / "calls.sqlite")
    (folder / "calls.sqlite").chmod(0o444)
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_file_is_refused_before_anything_is_paid(read_only_folder):
    file = read_only_folder / "calls.sqlite"
    with ordinary_user():
        refused(file, "it is read-only")
        with Store(file, read_only=True) as store:
            back = store.journal("model, text", N).lookup(some_masks(20))
        with pytest.raises(StoreError, match="cannot be opened; look at the permissions"):
            Store(read_only_folder / "new.sqlite")
    np.testing.assert_array_equal(back, some_values(20))


def test_reading_only_never_makes_or_changes_a_file(filled, tmp_path):
    with pytest.raises(StoreError, match="does not exist"):
        Store(tmp_path / "none", read_only=True)
    empty = tmp_path / "empty"
    empty.touch()
    refused(empty, "not a spexjax store", read_only=True)
    before = filled.read_bytes()
    with Store(filled, read_only=True) as store:
        with pytest.raises(StoreError, match="holds nothing under store_key 'other'"):
            store.journal("other", N)
        journal = store.journal("model, text", N)
        with pytest.warns(StoreWarning, match="read-only"):
            journal.add(some_masks(3, 8), some_values(3))
    assert filled.read_bytes() == before


# Fingerprints


def test_a_fingerprint_tells_functions_apart():
    parts = [
        {"text": "a"}, {"text": "b"}, {"text": ["a"]}, {"text": ["a", ""]}, {"text": None},
        {"text": 1}, {"text": 1.5}, {"text": True}, {"other": "a"}, {"text": {"text": "a"}},
        {"x": np.zeros(4, np.float32)}, {"x": np.zeros((2, 2), np.float32)},
        {"x": np.zeros(4, np.int32)}, {"x": np.zeros(2)}, {"x": [0.0, 0.0]},
        {"x": np.array(["a", "b"])}, {"a": ["bc"], "d": []}, {"a": ["b", "c"], "d": []},
        {"a": ["b"], "d": ["c"]},
    ]  # fmt: skip
    keys = [fingerprint("model", **part) for part in parts]
    assert len(set(keys)) == len(keys)
    assert keys == [fingerprint("model", **part) for part in parts]
    assert all(key.startswith("model [") for key in keys)


def test_fingerprints_do_not_change_between_versions():
    assert fingerprint("m", text="a", weights={"w": np.arange(3, dtype=np.float32)}, label=1) == (
        "m [22f57258fd6cf7f61b9b9906bce98f18]"
    )


@pytest.mark.parametrize("part", [object(), len, {1, 2}, np.array([None])])
def test_what_has_no_stable_content_has_no_fingerprint(part):
    with pytest.raises(TypeError, match="no fingerprint"):
        fingerprint("model", part=part)
