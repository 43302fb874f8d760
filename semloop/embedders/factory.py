"""Creation of the embedder named in the settings."""

from semloop.embedders.contract import Embedder
from semloop.errors import ConfigError
from semloop.settings import Settings


def embedder_of(settings: Settings) -> Embedder:
    """Create the embedder named in the settings.

    Raises:
        MissingExtra: its packages are not installed.
        ConfigError: one of its settings is missing or wrong.
        LakeError: the model stored in the lake is damaged or cannot be stored.
        EmbedderUnavailable: the endpoint does not answer.
    """
    match settings.embedding.kind:
        case "minilm":
            from semloop.embedders.minilm import Minilm
            from semloop.embedders.model_store import stored_model
            from semloop.storage.location import Storage

            return Minilm(stored_model(Storage.of(settings)))
        case "hashing":
            from semloop.embedders.hashing import Hashing

            return Hashing()
        case "endpoint":
            from semloop.embedders.endpoint import Endpoint

            url = _required("embedder_url", settings.embedding.url, settings)
            model = _required("embedder_model", settings.embedding.model, settings)
            timeout_s = settings.embedding.timeout_s
            return Endpoint(url, model, settings.embedding.key, timeout_s)
        case "sentence-transformers":
            from semloop.embedders.torch_model import TorchModel

            return TorchModel(
                _required("embedder_model", settings.embedding.model, settings)
            )


def _required(name: str, value: str | None, settings: Settings) -> str:
    if value:
        return value
    msg = f"The embedder {settings.embedding.kind!r} needs the setting {name!r}."
    raise ConfigError(msg, f"Set SEMLOOP_{name.upper()}.")
