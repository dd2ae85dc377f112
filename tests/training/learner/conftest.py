from tests.training.stages.conftest import _one_thread, recipe, store, text_encoder  # noqa: F401
