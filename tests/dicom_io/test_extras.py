import pytest

from dicom_io.extras import install_hint


@pytest.mark.parametrize(
    ("module", "hint"),
    [
        ("faker", "faker is not installed: pip install 'ctscribe[site]'"),
        ("ray", "ray is not installed: pip install 'ctscribe[serving]'"),
        ("psycopg", "psycopg is not installed: pip install 'ctscribe[postgres]'"),
        ("spacy.lang.en", "spacy is not installed: pip install 'ctscribe[recognizer]'"),
        ("dicomanonymizer", "dicom-anonymizer is not installed: pip install 'ctscribe[site]'"),
        ("PIL", "pillow is not installed: pip install ctscribe"),
        ("torch", "torch is not installed: pip install ctscribe"),
    ],
)
def test_the_extra_that_brings_a_library_is_named(module, hint):
    assert install_hint(ModuleNotFoundError(name=module)) == hint


@pytest.mark.parametrize("name", ["no_such_library", "plugin.no_such_module", None])
def test_what_no_installation_brings_is_not_explained(name):
    assert install_hint(ModuleNotFoundError(name=name)) is None
