import pytest
from pydicom import Dataset

from training.site.questions.phase import contrast_phase


def header(description: str = "", agent: str = "", **times: str) -> Dataset:
    dataset = Dataset()
    dataset.SeriesDescription, dataset.ContrastBolusAgent = description, agent
    for keyword, value in times.items():
        setattr(dataset, keyword, value)
    return dataset


def delayed(seconds: int, description: str = "Abdomen") -> Dataset:
    acquired = f"1200{seconds:02d}" if seconds < 60 else f"12{seconds // 60:02d}{seconds % 60:02d}"
    return header(
        description, "Iomeprol", ContrastBolusStartTime="120000", AcquisitionTime=acquired
    )


@pytest.mark.parametrize(
    ("description", "agent", "phase"),
    [
        ("Abdomen nativ", "", "non-contrast"),
        ("CT unenhanced", "", "non-contrast"),
        ("sans injection", "", "non-contrast"),
        ("Abdomen arterial 1.5", "Omnipaque", "arterial"),
        ("Leber arteriell", "Omnipaque", "arterial"),
        ("ABD_portal_venous", "Omnipaque", "portal venous"),
        ("Abdomen portalvenös", "Omnipaque", "portal venous"),
        ("Thorax Abd PV", "Omnipaque", "portal venous"),
        ("Niere Spätphase", "Omnipaque", "delayed"),
        ("delayed 5min", "Omnipaque", "delayed"),
    ],
)
def test_description_and_agent_agree(description, agent, phase):
    assert contrast_phase(header(description, agent)) == phase


@pytest.mark.parametrize(
    ("description", "agent"),
    [
        ("Abdomen", ""),
        ("Abdomen", "Omnipaque"),
        ("arterial", ""),
        ("nativ", "Omnipaque"),
        ("arterial and portal venous", "Omnipaque"),
        ("Partial scan", "Omnipaque"),
        ("venous", "Omnipaque"),
    ],
)
def test_what_is_in_doubt_has_no_phase(description, agent):
    assert contrast_phase(header(description, agent)) is None


@pytest.mark.parametrize(
    ("seconds", "phase"),
    [(25, "arterial"), (70, "portal venous"), (300, "delayed"), (50, None), (120, None)],
)
def test_a_delay_tells_the_phase_where_only_one_has_it(seconds, phase):
    assert contrast_phase(delayed(seconds)) == phase


def test_a_delay_that_contradicts_the_description_leaves_doubt():
    assert contrast_phase(delayed(25, "portal venous")) is None
    assert contrast_phase(delayed(70, "portal venous")) == "portal venous"


def test_times_that_are_none_say_nothing():
    times = {"ContrastBolusStartTime": "12", "AcquisitionTime": "120030"}
    assert contrast_phase(header("Abdomen", "Omnipaque", **times)) is None
