"""Rules and models of the settings file become parts of a worker, and follow the file."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from dicom_io.errors import ConfigurationError, EngineError
from plugin.drafting.wanted.judging import Judge, forget_judgements
from plugin.drafting.wanted.rules_file import RulesFile
from plugin.feedback.promotion import current_model
from plugin.rules.rules import Rules
from plugin.settings import NamedModel, Settings, load_settings
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool
from plugin.state.watch import Watch

LOGGER = logging.getLogger(__name__)


class Rulebook:
    """The rules and models of a settings file, as it stands.

    Parameters
    ----------
    settings : Settings
        As they were when the process started; all but rules and models stay so.
    path : Path or None
        The file; without one nothing changes.
    sessions : SessionFactory
        Of the service's database.
    watch : Watch
        The worker's; learns of the longest quiet period.
    forget_models : callable
        Told the names of models whose tables were changed.
    stop : threading.Event
        Set where another model becomes the service's own.
    """

    def __init__(
        self,
        settings: Settings,
        path: Path | None,
        sessions: SessionFactory,
        watch: Watch,
        forget_models: Callable[[list[str]], None],
        stop: threading.Event,
    ) -> None:
        self._settings, self._path = settings, path
        self._sessions, self._watch = sessions, watch
        self._models = {one.name: one for one in settings.models}
        self._forget_models, self._stop = forget_models, stop
        self._current = current_model(sessions)
        self._file = RulesFile(sessions, path, self._load, Rules(settings.rules))
        self._have_patience(self._file.rules)

    def judge(self, spool: Spool) -> Judge:
        """Return who asks the rules."""
        quiet_s = self._settings.completeness.quiet_s
        return Judge(self._sessions, spool, self._file.rules, quiet_s, self._refresh)

    def model(self, name: str) -> NamedModel:
        """Return a model's table.

        Raises
        ------
        EngineError
            There is none of that name any more.
        """
        try:
            return self._models[name]
        except KeyError:
            raise EngineError(f"no model is called {name}") from None

    def shadows(self) -> list[str]:
        """Name the models on trial."""
        return [name for name, one in self._models.items() if one.shadow and name != self._current]

    def ask(self) -> None:
        """Have the file read again; safe in a signal handler."""
        self._file.ask()

    def _refresh(self, judge: Judge) -> None:
        if current_model(self._sessions) != self._current:
            LOGGER.info("another model was promoted: this process ends, and starts again with it")
            self._stop.set()
        rules = self._file.changed()
        if rules is not None:
            judge.rules = rules
            self._have_patience(rules)
            forget_judgements(self._sessions)

    def _load(self) -> Rules:
        assert self._path is not None
        settings = load_settings(self._path)
        running = {one.name for one in self._settings.destinations}
        for rule in settings.rules:
            for name in set(rule.destinations or ()) - running:
                raise ConfigurationError(
                    f"rule {rule.name}: destination {name} is new: restart the service"
                )
        models = {one.name: one for one in settings.models}
        changed = [name for name, one in self._models.items() if models.get(name) != one]
        self._models = models
        self._forget_models(changed)
        return Rules(settings.rules)

    def _have_patience(self, rules: Rules) -> None:
        longest = max((rule.quiet_s or 0.0 for rule in rules.rules), default=0.0)
        longest_quiet = timedelta(seconds=longest)
        self._watch.patience = replace(self._watch.patience, longest=longest_quiet)
