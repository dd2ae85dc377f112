"""What the demo refuses; the demo itself runs in `tests/test_wheel.py`, as a newcomer runs it."""

from click.testing import CliRunner

from plugin.cli import main


def test_a_folder_that_is_no_earlier_demo_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert "choose another -o" in result.stderr
    assert (tmp_path / "thesis.txt").exists()
