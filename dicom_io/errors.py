"""The one error tree of ctscribe.

A message names what is wrong and where, and never carries a patient identifier: instances and
series are named by UID or number, files by path inside the input.
"""


class CtscribeError(Exception):
    """Root of every error this project raises on purpose."""

    retryable = False
    """Whether the same call may succeed later without anybody changing anything."""


class DicomError(CtscribeError):
    """The DICOM input is at fault."""


class DamagedFile(DicomError):
    """A file is DICOM, and cannot be read: what it holds is lost to its study."""


class UnsupportedTransferSyntax(DicomError):
    """The pixel data is encoded in a transfer syntax that no installed decoder reads."""


class MissingAttribute(DicomError):
    """A DICOM attribute that the work needs is absent or empty."""


class UnreadableText(DicomError):
    """A name or number of the patient or study cannot be read for certain."""


class DataSetMismatch(DicomError):
    """The data set is not the object that the command announced."""


class GeometryError(DicomError):
    """The instances do not form a volume (orientation, position, spacing, size)."""


class UnreadableImage(DicomError):
    """The pixel data of one image is damaged, or is not what its header says."""


class DecoderUnavailable(DicomError):
    """The process that decodes pixel data cannot be started; no image is at fault."""

    retryable = True


class IncompleteSeries(DicomError):
    """Slices are missing that cannot be interpolated."""


class NoUsableSeries(DicomError):
    """No series of the study can be given to the model; the message lists every reason."""


class NothingToDraft(NoUsableSeries):
    """The study holds localizers, documents or images of other modalities: nobody is at fault."""


class NotRetrieved(DicomError):
    """An archive lists a study and does not give all of it."""


class EngineError(CtscribeError):
    """The model or its checkpoint is at fault."""


class CheckpointMismatch(EngineError):
    """A checkpoint is damaged, or its tensors are not those of the model it names.

    Parameters
    ----------
    message : str
    details : tuple of str
        Every fault by itself, where the message names the first ones only.
    """

    def __init__(self, message: str, details: tuple[str, ...] = ()):
        super().__init__(message)
        self.details = details


class PromptTooLong(EngineError):
    """Image tokens, prompt and requested new tokens exceed the model's context."""


class OutOfDeviceMemory(EngineError):
    """The device ran out of memory; another moment or another device may do."""

    retryable = True


class EngineUnavailable(EngineError):
    """The engine's server is down, full, or changes its model: no study is at fault, all wait."""

    retryable = True


class EngineFault(EngineError):
    """The engine's server met a fault of its own with this input; its log says which."""

    retryable = True


class ReportError(CtscribeError):
    """The generation cannot become a report."""


class EmptyDraft(ReportError):
    """The generation holds no sentence."""


class NonConformantReport(ReportError):
    """The Structured Report that was built violates its template."""


class TrainingError(CtscribeError):
    """The training data, a recipe or a run is at fault."""


class UnusableData(TrainingError):
    """Raw data or a training store is missing, damaged or not the one that was asked for."""


class IdentifiedContent(TrainingError):
    """An object or a text may show who the patient is, and cannot be made to show it no more."""


class RecipeError(TrainingError):
    """A recipe lacks a key, has one that is unknown, or a value that makes no sense."""


class PluginError(CtscribeError):
    """The service, a peer or the storage is at fault."""


class ConfigurationError(PluginError):
    """A setting is wrong; the message names the key."""


class NotKnown(PluginError):
    """No study, draft, delivery or user has the number or name that was given."""


class PeerUnreachable(PluginError):
    """A destination does not answer, or has a fault that is not the request's.

    Parameters
    ----------
    message : str
    tries : int, optional
        After how many a person must look; without it, it is tried until it answers.
    """

    retryable = True

    def __init__(self, message: str, tries: int | None = None):
        super().__init__(message)
        self.tries = tries


class AssociationRejected(PluginError):
    """A peer answers and refuses the association or the object.

    Parameters
    ----------
    message : str
    status : int, optional
        Of HTTP or of DIMSE, where the peer told one.
    tries : int
        How many are worthwhile in all before a person must look.
    """

    def __init__(self, message: str, status: int | None = None, tries: int = 1):
        super().__init__(message)
        self.status = status
        self.tries = tries


class SopClassRefused(AssociationRejected):
    """A peer takes no object of the class, or offers no such service; it may take another."""


class ProtocolViolation(PluginError):
    """What a peer sends is not DICOM's protocol; the association ends."""


class StoreFull(PluginError):
    """The spool or its disk is under its floor."""

    retryable = True


class LeaseLost(PluginError):
    """Another worker took this job over; what was done here is discarded."""
