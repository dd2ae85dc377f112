"""What bfloat16 changes is measured beside float32."""

from bench import rounded


def test_both_types_see_and_describe_the_same_phantom() -> None:
    figures = rounded.compare(1, 1)
    assert all(1e-4 < float(moved) < 0.05 for moved in figures["hidden_states_moved_by"])
    assert figures["texts"]["written"] == 1
    assert figures["texts"]["tokens"] > 10
    over = figures["farthest_over_float32_limit"]
    assert over["float32"]["pixels"] == over["bfloat16"]["pixels"]  # no tower sees these
    assert max(over["float32"].values()) < 1
