import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_io.errors import UnusableData
from dicom_io.model_input.preprocess import PreprocessSpec
from training.data.questions import Question, write_questions
from training.data.shards import Made, Planned, begun, fill, write_splits, write_texts
from training.data.store import Header, as_unit_interval, open_store, quantised, verify

SPEC = PreprocessSpec(size=(2, 3, 4))
PLANNED = [Planned(f"c{i}/s", f"c{i}", f"c{i}/t", str(i)) for i in range(4)]
TEXTS = {f"c{i}/t": f"Report {i}." for i in range(4)}
SPLIT = {"train": ["c2/s", "c0/s"], "validation": ["c1/s"], "test": ["c3/s"]}


def make(image: Planned) -> Made:
    pixels = np.full((1, 2, 3, 4), int(image.source) / 10, np.float32)
    return Made(pixels, np.eye(4), ("a note",), {"seen": True})


def write(folder: Path, dtype="uint16") -> Path:
    header = Header(SPEC, dtype, "test", "plan")
    with begun(folder, header):
        write_texts(folder, TEXTS)
        fill(folder, header, PLANNED, make, processes=1)
        write_splits(folder, {"grouped": SPLIT}, {image.key: image for image in PLANNED})
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path / "store")


def test_an_input_comes_back_with_all_that_is_known_of_it(folder):
    store = open_store(folder, SPEC)
    assert store.stored("c3/s").shape == (1, 2, 3, 4)
    assert torch.allclose(as_unit_interval(store.stored("c3/s")), torch.tensor(0.3), atol=1e-5)
    record = store.images["c3/s"]
    assert (record.case, record.notes, record.origin) == ("c3", ("a note",), {"seen": True})
    assert record.affine_lps == np.eye(4).tolist()
    assert store.report("c3/s") == "Report 3."


@pytest.mark.parametrize("name", ["paper", "grouped"])
def test_a_selection_of_the_test_questions_is_not_counted_again(folder, name):
    both = [Question("c3/s", 5, f"Where is {what}?", "left") for what in ("it", "the other")]
    (folder / "questions").mkdir()
    write_questions(folder / "questions" / "M3D_VQA_test.csv", both)
    write_questions(folder / "questions" / "M3D_VQA_test5k.csv", both[1:])
    assert len(open_store(folder).questions(name, "test")) == 2


def test_a_split_keeps_its_order(folder):
    assert open_store(folder).split("grouped") == SPLIT


@pytest.mark.parametrize(("dtype", "step"), [("uint8", 1 / 255), ("uint16", 1 / 65535)])
def test_storing_moves_a_grey_value_by_half_a_step_at_most(dtype, step):
    pixels = torch.linspace(0, 1, 10_001)
    back = as_unit_interval(quantised(pixels, dtype))
    assert (back - pixels).abs().max() <= step / 2 + 1e-7
    assert (back[0], back[-1]) == (0, 1)


def test_eight_bits_of_an_eight_bit_source_lose_nothing():
    grey = torch.arange(256, dtype=torch.float32) / 255
    assert torch.equal(as_unit_interval(quantised(grey, "uint8")), grey)


def test_a_hounsfield_unit_survives_sixteen_bits_and_not_eight():
    """On the flat part of the embedded model's curve 800 HU share 0.15 of the range."""
    hu = torch.arange(-1000, -200, dtype=torch.float64)
    values = (hu + 1000) / 800 * 0.15
    for dtype, kept in (("uint16", 800), ("uint8", 39)):
        assert len(quantised(values, dtype).int().unique()) == kept


def test_another_preprocessing_than_the_readers_is_named(folder):
    with pytest.raises(UnusableData, match=r"size is \(2, 3, 4\), not \(4, 4, 4\)"):
        open_store(folder, PreprocessSpec(size=(4, 4, 4)))


def test_what_is_no_store_is_refused(tmp_path):
    with pytest.raises(UnusableData, match=r"has no store\.json"):
        open_store(tmp_path)


def test_an_unfinished_store_is_refused(folder):
    (folder / "splits.json").unlink()
    with pytest.raises(UnusableData, match="unfinished"):
        open_store(folder)


def test_a_store_of_another_format_is_refused(folder):
    header = json.loads((folder / "store.json").read_text())
    (folder / "store.json").write_text(json.dumps(header | {"format": 99}))
    with pytest.raises(UnusableData, match="format 99"):
        open_store(folder)


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda store: store.stored("c9/s"), "holds no image c9/s"),
        (lambda store: store.split("paper"), "no split 'paper'"),
    ],
)
def test_what_is_not_there_is_named(folder, read, why):
    with pytest.raises(UnusableData, match=why):
        read(open_store(folder))


def test_a_sound_store_has_no_faults(folder):
    assert list(verify(folder)) == []


def test_a_changed_byte_is_found(folder):
    path = folder / "images" / "00000.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert list(verify(folder)) == ["00000.safetensors is not the file that was written"]


def test_a_shard_that_is_gone_is_found(folder):
    (folder / "images" / "00000.safetensors").unlink()
    assert list(verify(folder)) == ["00000.safetensors is not the file that was written"]
    with pytest.raises(UnusableData, match=r"00000\.safetensors cannot be read"):
        open_store(folder).stored("c0/s")


def test_a_leak_is_found(folder):
    splits = json.loads((folder / "splits.json").read_text())
    splits["grouped"]["test"] += splits["grouped"]["train"][:1]
    (folder / "splits.json").write_text(json.dumps(splits))
    assert "split grouped: case c2 is in train and in test" in list(verify(folder))


def test_a_text_in_two_parts_is_found(folder):
    texts = [{"key": k, "text": "The same."} for k in TEXTS]
    (folder / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    faults = list(verify(folder))
    assert "split grouped: the text “the same” is in train and in validation" in faults


def test_an_input_is_mapped_and_not_read(folder):
    first, again = (open_store(folder).stored("c1/s") for _ in range(2))
    assert first.data_ptr() == again.data_ptr()


def test_an_unreadable_image_is_rejected_and_the_others_are_stored(tmp_path):
    def fragile(image: Planned) -> Made:
        if image.key == "c1/s":
            raise UnusableData("broken")
        if image.key == "c2/s":
            Path(tmp_path / "gone.png").read_bytes()
        return make(image)

    folder, header = tmp_path / "store", Header(SPEC, "uint8", "test", "plan")
    with begun(folder, header):
        rejected = fill(folder, header, PLANNED, fragile, processes=1)
    assert [(r.what, r.why) for r in rejected] == [
        ("c1/s", "broken"),
        ("c2/s", "gone.png: No such file or directory"),
    ]


def test_what_was_rejected_before_is_still_reported(tmp_path):
    def broken(image: Planned) -> Made:
        raise UnusableData("broken")

    folder, header = tmp_path / "store", Header(SPEC, "uint8", "test", "plan")
    with begun(folder, header):
        first = fill(folder, header, PLANNED, broken, processes=1)
        assert fill(folder, header, PLANNED, make, processes=1) == first


def test_two_processes_do_not_write_one_store(folder):
    with (
        begun(folder, open_store(folder).header),
        pytest.raises(UnusableData, match="another process"),
        begun(folder, open_store(folder).header),
    ):
        pass


def test_processes_write_what_one_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("training.data.shards.SHARD", 2)
    stored = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        header = Header(SPEC, "uint8", "test", "plan")
        with begun(folder, header):
            fill(folder, header, PLANNED, partial(make), processes=processes)
        stored.append({p.name: p.read_bytes() for p in (folder / "images").iterdir()})
    assert len(stored[0]) == 4
    assert stored[0] == stored[1]
