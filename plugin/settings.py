"""The settings of a service: one TOML file, validated, read-only.

Unknown keys are refused. A secret is never in the file: the file names the environment variable
that holds it. Modules take plain arguments; only the command line sees these classes.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dicom_io.errors import ConfigurationError, DicomError
from plugin.rules.rules import NO_MESSAGES, Rule, require_known
from plugin.sections.destinations import (
    ArchiveDestination,
    Destination,
    FhirDestination,
    Hl7Destination,
    needs_the_sr,
)
from plugin.sections.section import (
    AETitle,
    Certificates,
    EngineUrl,
    Port,
    Seconds,
    Section,
    beside_the_file,
    require_unique,
)
from plugin.sections.upkeep import Alarms, Audit, Hl7, Metrics, Retention
from plugin.sections.vllm import Vllm
from plugin.sections.web import Web
from plugin.settings_problems import first_problem


def _model_beside_the_file(name: str, known: ValidationInfo) -> str:
    """A folder beside the settings, where there is one; else a name as it stands."""
    path = beside_the_file(Path(name), known)
    return str(path) if path.is_dir() or name.startswith(("./", "../")) else name


def _file_beside_the_file(name: str | None, known: ValidationInfo) -> str | None:
    """A file beside the settings, where it ends as one; else the name of a preset."""
    if name is None or not name.endswith(".toml"):
        return name
    return str(beside_the_file(Path(name), known))


ModelName = Annotated[str, AfterValidator(_model_beside_the_file)]


class Peer(Section):
    """A sender that may open an association from beyond loopback."""

    ae_title: AETitle
    address: IPvAnyNetwork = Field(description="IP address, or network in CIDR notation")


class Receiver(Section):
    """Where studies arrive."""

    host: str = "127.0.0.1"
    port: Port = 11119
    ae_title: AETitle = "CTSCRIBE"
    redraft_ae_title: AETitle = Field(
        default="CTSCRIBE_AGAIN",
        description="instances sent to this title ask for a new draft even if they are known",
    )
    processes: int = Field(default=1, ge=1, le=16)
    peers: tuple[Peer, ...] = ()
    maximum_associations: int = Field(default=10, ge=1)
    network_timeout_s: Seconds = 60.0
    tls: Certificates | None = None

    @field_validator("tls")
    @classmethod
    def _has_a_certificate(cls, value: Certificates | None) -> Certificates | None:
        if value is not None and value.certificate is None:
            raise ValueError("the receiver needs a certificate")
        return value


class Completeness(Section):
    """When a study counts as complete."""

    quiet_s: Seconds = Field(default=60.0, description="no slice for so long: complete")
    cap_s: Seconds = Field(default=3600.0, description="run at the latest so long after the first")
    count_at: str | None = Field(
        default=None,
        description="name of the destination whose own number of slices is waited for",
    )


class Storage(Section):
    """Where state lives."""

    spool: Path = Path("ctscribe-spool")
    database: str | None = Field(
        default=None, description="SQLAlchemy URL; without it SQLite inside the spool"
    )
    floor_mb: int = Field(default=2048, ge=0, description="refuse (0xA700) below this free space")

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{(self.spool / 'ctscribe.db').resolve()}"


def _in_a_tuple(value: Any) -> Any:
    """Take one where several may stand."""
    return (value,) if isinstance(value, str) else value


class Engine(Section):
    """The model that writes."""

    model: ModelName = Field(
        default="embedded",
        description='"embedded", "fake", a checkpoint folder, or OWNER/NAME@COMMIT on the hub',
    )
    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantization: Literal["none", "int8", "nf4"] = "none"
    max_new_tokens: int = Field(default=256, ge=1)
    evidence_s: float = Field(
        default=10.0,
        ge=0,
        description="how long to look for the slices that sentences come from; 0: not at all",
    )
    confidence_s: float = Field(
        default=10.0,
        ge=0,
        description="how long to ask how sure the model is of its sentences; 0: not at all",
    )
    withhold_low_confidence: bool = Field(
        default=False, description="whether drafts leave out sentences of low confidence"
    )
    url: Annotated[tuple[EngineUrl, ...], BeforeValidator(_in_a_tuple)] = Field(
        default=(),
        description="`ctscribe engine` on another host, or on several, in place of a model here; "
        "`openai+http://…` is an OpenAI-compatible server",
    )
    asking: Annotated[str | None, AfterValidator(_file_beside_the_file)] = Field(
        default=None, description="how an OpenAI-compatible server is asked: a preset or a file"
    )
    token_env: str | None = Field(
        default=None, description="environment variable holding the token of the engine's server"
    )
    timeout_s: Seconds = Field(default=600.0, description="how long a server's answer may take")
    decoder: Literal["local", "vllm"] = Field(
        default="local", description="what runs the language model; `vllm` needs `[engine.vllm]`"
    )
    vllm: Vllm | None = None

    @model_validator(mode="after")
    def _text_is_written_in_one_way(self) -> Self:
        if (self.decoder == "vllm") != (self.vllm is not None):
            raise ValueError('decoder = "vllm" goes with the table vllm, and only with it')
        if self.vllm is not None and self.url:
            raise ValueError('decoder = "vllm" goes with a model, not with a url')
        if self.vllm is not None and self.quantization != "none":
            raise ValueError("quantization is for the local decoder; vllm.options has vLLM's own")
        return self

    @model_validator(mode="after")
    def _is_asked_as_its_servers_are(self) -> Self:
        others = [url for url in self.url if url.startswith("openai+")]
        if others and len(others) < len(self.url):
            raise ValueError("url: OpenAI-compatible servers, or `ctscribe engine`, not both")
        if bool(others) != (self.asking is not None):
            raise ValueError("asking goes with a url that begins with openai+, and only with one")
        return self

    @property
    def takes_several(self) -> bool:
        """Whether several threads may ask it at the same time."""
        return bool(self.url) or self.decoder == "vllm"

    @property
    def called(self) -> str:
        """How messages name it."""
        return ", ".join(self.url) or self.model


class EngineServer(Section):
    """The model as a server, for workers on other hosts; the model is `engine.model`."""

    host: str = "127.0.0.1"
    port: Port = 11180
    in_flight: int = Field(default=16, ge=1, description="requests that may wait or be at work")
    batch: int = Field(default=4, ge=1, description="reports that may be drafted together")
    drain_s: int = Field(default=60, ge=1, description="time to finish after SIGTERM")


class Worker(Section):
    """How jobs are run."""

    processes: int = Field(default=1, ge=1)
    studies: int = Field(
        default=2, ge=1, le=64, description="in hand at the same time, in each process"
    )
    lease_s: Seconds = 60.0
    poll_s: Seconds = 1.0
    attempts: int = Field(default=5, ge=1, description="give a study up after so many")
    max_study_age_days: int | None = Field(
        default=None, ge=0, description="an older study is drafted only if somebody asks for it"
    )
    longest_draft_s: Seconds = Field(
        default=1800.0, description="a worker that takes longer for a study hangs, and is replaced"
    )
    reported_at: str | None = Field(
        default=None,
        description="name of the destination that is asked whether a study has a final report",
    )
    when_reported: Literal["drop", "mark"] = Field(
        default="drop", description="no draft of such a study, or one that says so"
    )
    default_character_set: str | None = Field(
        default=None,
        description="how the archive reads names that declare no character set, as DICOM calls it",
    )

    @field_validator("default_character_set")
    @classmethod
    def _is_a_character_set(cls, value: str | None) -> str | None:
        from dicom_io.characters import encoding_of  # half a second, for pydicom

        try:
            if value is not None:
                encoding_of(value)
        except DicomError as error:
            raise ValueError(f"{value}: {error}") from None
        return value


class NamedModel(Engine):
    """A model that rules name, or that is on trial; see [engine]."""

    name: str = Field(min_length=1, max_length=64)
    shadow: bool = Field(
        default=False, description="drafts every study too, to be compared; nothing of it is sent"
    )


class Status(Section):
    """What the list of studies shows."""

    accession_numbers: bool = Field(
        default=False, description="whether `ctscribe status` lists accession numbers"
    )


class Settings(Section):
    """The whole file."""

    receiver: Receiver = Receiver()
    completeness: Completeness = Completeness()
    storage: Storage = Storage()
    engine: Engine = Engine()
    engine_server: EngineServer = EngineServer()
    worker: Worker = Worker()
    status: Status = Status()

    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    hl7: Hl7 = Hl7()
    destinations: tuple[Destination, ...] = ()
    models: tuple[NamedModel, ...] = ()
    rules: tuple[Rule, ...] = ()
    alarms: Alarms = Alarms()
    audit: Audit = Audit()
    web: Web = Web()

    @model_validator(mode="after")
    def _rules_name_what_there_is(self) -> Settings:
        _require_known(self.rules, self)
        return self

    @model_validator(mode="after")
    def _messages_have_a_destination(self) -> Settings:
        wanted = self.web.acceptance.what == "messages"
        if wanted and not any(map(_takes_messages, self.destinations)):
            raise ValueError(f"web.acceptance.what: {NO_MESSAGES}")
        return self

    @model_validator(mode="after")
    def _destination_names_are_unique(self) -> Settings:
        require_unique([one.name for one in self.destinations], "destinations")
        return self

    @model_validator(mode="after")
    def _archives_that_are_asked_are_destinations(self) -> Settings:
        named = {one.name: one for one in self.destinations}
        for key, name in (
            ("completeness.count_at", self.completeness.count_at),
            ("worker.reported_at", self.worker.reported_at),
            ("web.priors_at", self.web.priors_at),
        ):
            if name is not None and name not in named:
                raise ValueError(f"{key}: no destination is called {name}")
            if name is not None and not isinstance(named[name], ArchiveDestination):
                raise ValueError(f"{key}: {name} is no archive of images")
        return self


def load_settings(path: Path | None) -> Settings:
    """Read and validate a TOML file; without one, every default.

    Relative paths in the file are relative to the file.

    Raises
    ------
    ConfigurationError
        The file is missing, not TOML, or a key is unknown or has a wrong value.
    """
    if path is None:
        return Settings()
    try:
        text = path.read_text("utf-8")
        tables = tomllib.loads(text)
        settings = Settings.model_validate(tables, context={"folder": path.parent})
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {first_problem(error, tables, text)}") from None
    spool = path.parent / settings.storage.spool
    storage = settings.storage.model_copy(update={"spool": spool})
    return settings.model_copy(update={"storage": storage})


def _takes_messages(destination: Destination) -> bool:
    return isinstance(destination, Hl7Destination | FhirDestination)


def _require_known(rules: tuple[Rule, ...], settings: Settings) -> None:
    require_known(
        rules,
        destinations=[one.name for one in settings.destinations],
        models=[one.name for one in settings.models],
        bound=[one.name for one in settings.destinations if needs_the_sr(one)],
        messaged=[one.name for one in settings.destinations if _takes_messages(one)],
    )


class _RulesAlone(Section):
    rules: tuple[Rule, ...] = ()


def with_rules(settings: Settings, text: str) -> Settings:
    """Put other rules in the place of the settings' own, to be tried.

    Parameters
    ----------
    settings : Settings
        Of the service.
    text : str
        Tables [[rules]], in TOML.

    Raises
    ------
    ConfigurationError
        They are not TOML, hold something else, or name what the settings do not have.
    """
    try:
        tables = tomllib.loads(text)
        rules = _RulesAlone.model_validate(tables).rules
        _require_known(rules, settings)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"not valid TOML: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(first_problem(error, tables, text)) from None
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return settings.model_copy(update={"rules": rules})
