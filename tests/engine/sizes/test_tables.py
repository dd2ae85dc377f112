import pytest

from engine.sizes.cost import Cost
from engine.sizes.row import Row
from engine.sizes.tables import count_tables


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return count_tables()


def test_every_projector_of_table_9_costs_what_the_paper_says(rows: list[Row]) -> None:
    table = [row for row in rows if row.table.startswith("Table 9") and row.paper_parameters]
    assert [row.name for row in table] == ["2xMLP", "2xMLP-H", "1xMixer-H", "2xMixer-H"]
    assert all(row.agrees for row in table)


def test_the_parts_of_table_12_cost_what_the_paper_says(rows: list[Row]) -> None:
    table = [row for row in rows if row.table == "Table 12: Med3DVLM" and row.name != "all"]
    assert [row.paper_operations for row in table] == ["21.59 G", "6.14 G", ""]
    assert all(row.agrees for row in table)


def test_where_the_paper_differs_the_row_says_what_it_must_have_counted(rows: list[Row]) -> None:
    differing = [row for row in rows if not row.agrees]
    assert [(row.table, row.name) for row in differing] == [
        ("Table 12: Med3DVLM", "all"),
        ("Table 12: M3D-LaMed", "vision tower"),
        ("Table 12: M3D-LaMed", "all"),
    ]
    assert all(row.note for row in differing)
    assert "253.226 G" in differing[1].note


def test_every_vision_tower_is_counted(rows: list[Row]) -> None:
    towers = [row.name for row in rows if row.table == "Vision towers"]
    assert len(towers) == 13
    assert {"DCFormer-large", "ViT3D of the ablation code", "ResNet-152 of Merlin"} <= set(towers)
    assert {"CT-ViT of CT-CHAT", "CT-ViT of CT2Rep"} <= set(towers)
    assert {"Primus of NV-Reason-CT", "3D ViT of RadFM"} <= set(towers)


def test_the_tower_of_radfm_has_the_authors_number_of_parameters(rows: list[Row]) -> None:
    [row] = [row for row in rows if row.name == "3D ViT of RadFM"]
    assert row.cost.parameters == 66_208_000  # counted by their own code


def test_projectors_and_language_models_of_the_families_are_counted(rows: list[Row]) -> None:
    counted = {row.name: row.cost.parameters for row in rows if "other families" in row.table}
    assert counted["projector of Merlin"] == 2048 * 4096 + 4096
    assert counted["language model of Merlin"] == 6_738_415_616  # Llama-2-7B, as Meta counts it
    assert round(counted["language model of CT-CHAT"] / 1e9, 2) == 8.03  # Llama 3.1 8B
    assert {"projector of RadFM", "projector of NV-Reason-CT", "projector of CT2Rep"} <= set(
        counted
    )


def test_tower_and_merger_of_nv_reason_are_what_its_authors_say(rows: list[Row]) -> None:
    counted = {row.name: row.cost.parameters for row in rows}
    both = counted["Primus of NV-Reason-CT"] + counted["projector of NV-Reason-CT"]
    assert f"{both / 1e6:.2f} M" == "147.05 M"


def test_pmc_clip_is_counted_by_slice_and_by_text(rows: list[Row]) -> None:
    table = {row.name: row.cost for row in rows if row.table == "PMC-CLIP"}
    slice, volume = table["image encoder, one slice"], table["image encoder, 10 slices"]
    assert f"{slice.parameters / 1e6:.1f} M" == "37.8 M"  # counted by the authors' own code
    assert volume.multiply_adds == 10 * slice.multiply_adds
    assert volume.parameters == slice.parameters
    assert table["text encoder, 77 tokens"].multiply_adds > 0


@pytest.mark.parametrize(
    ("count", "printed", "agrees"),
    [(18_244_800, "18.2 M", True), (18_260_000, "18.2 M", False), (18_260_000, "", True)],
)
def test_a_count_agrees_if_it_rounds_to_what_is_printed(
    count: int, printed: str, agrees: bool
) -> None:
    assert Row("t", "n", Cost(count, 0, 0), paper_parameters=printed).agrees == agrees
