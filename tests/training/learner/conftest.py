from tests.training.stages.conftest import recipe, store, text_encoder  # noqa: F401
