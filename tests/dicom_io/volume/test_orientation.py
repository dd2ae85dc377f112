import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.types import Volume
from dicom_io.volume.orientation import acquisition_plane, reorient

LEFT, POSTERIOR, HEAD = 0, 1, 2
DISPLAYED = {
    "axial": [(HEAD, -1), (POSTERIOR, 1), (LEFT, 1)],
    "coronal": [(POSTERIOR, 1), (HEAD, -1), (LEFT, 1)],
    "sagittal": [(LEFT, 1), (HEAD, -1), (POSTERIOR, 1)],
}


@st.composite
def volumes(draw):
    """A volume whose axes run along the patient's in any order and sense, slightly oblique."""
    axes = draw(st.permutations(range(3)))
    affine = np.eye(4)
    affine[:3, :3] = 0.05
    for k, axis in enumerate(axes):
        affine[axis, k] = draw(st.sampled_from([-1, 1])) * draw(st.floats(0.5, 5))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-100, 100)] * 3))
    shape = draw(st.tuples(*[st.integers(2, 5)] * 3))
    hu = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    return Volume(hu, affine, tuple(str(k) for k in range(shape[0])))


def position_of_each_value(volume):
    index = np.argwhere(np.ones(volume.hu.shape))
    at = index @ volume.affine_lps[:3, :3].T + volume.affine_lps[:3, 3]
    return at[np.argsort(volume.hu.ravel())]


@given(volume=volumes(), orientation=st.sampled_from(["displayed", "axial"]))
def test_every_voxel_stays_where_it_was_in_the_patient(volume, orientation):
    turned = reorient(volume, orientation)
    np.testing.assert_allclose(
        position_of_each_value(turned), position_of_each_value(volume), atol=1e-9
    )


@given(volume=volumes(), orientation=st.sampled_from(["displayed", "axial"]))
def test_axes_run_as_displayed(volume, orientation):
    plane = "axial" if orientation == "axial" else acquisition_plane(volume.affine_lps)
    turned = reorient(volume, orientation)
    for k, (axis, sense) in enumerate(DISPLAYED[plane]):
        direction = turned.affine_lps[:3, k]
        assert np.argmax(np.abs(direction)) == axis
        assert direction[axis] * sense > 0


@given(volume=volumes())
def test_the_displayed_stack_keeps_its_slices(volume):
    turned = reorient(volume, "displayed")
    assert turned.hu.shape[0] == volume.hu.shape[0]
    assert turned.sop_instance_uids in (volume.sop_instance_uids, volume.sop_instance_uids[::-1])
    for uid, plane in zip(turned.sop_instance_uids, turned.hu, strict=True):
        assert set(plane.ravel()) == set(volume.hu[int(uid)].ravel())


def test_turning_copies_nothing():
    volume = Volume(np.zeros((2, 3, 4), np.int16), np.eye(4))
    assert np.shares_memory(reorient(volume, "axial").hu, volume.hu)


@pytest.mark.parametrize(
    ("columns", "plane"),
    [((2, 1, 0), "axial"), ((1, 2, 0), "coronal"), ((0, 2, 1), "sagittal")],
)
def test_the_plane_is_named_by_the_direction_of_the_stack(columns, plane):
    affine = np.eye(4)[:, [*columns, 3]]
    assert acquisition_plane(affine) == plane
