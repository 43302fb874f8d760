"""The embedder that the settings name."""

from semloop.embedders.contract import Embedder
from semloop.errors import ConfigError
from semloop.settings import Settings


def embedder_of(settings: Settings) -> Embedder:
    """The embedder that the settings name, ready to use.

    Raises:
        MissingExtra: its packages are not installed.
        ConfigError: a setting of it is missing or wrong.
        LakeError: the model that the lake keeps is damaged or cannot be kept.
        EmbedderUnavailable: the endpoint does not answer.
    """
    match settings.embedding.kind:
        case "minilm":
            from semloop.embedders.minilm import Minilm
            from semloop.embedders.model_store import kept_model
            from semloop.storage.location import Storage

            return Minilm(kept_model(Storage.of(settings)))
        case "hashing":
            from semloop.embedders.hashing import Hashing

            return Hashing()
        case "endpoint":
            from semloop.embedders.endpoint import Endpoint

            url = _wanted("embedder_url", settings.embedding.url, settings)
            model = _wanted("embedder_model", settings.embedding.model, settings)
            timeout_s = settings.embedding.timeout_s
            return Endpoint(url, model, settings.embedding.key, timeout_s)
        case "sentence-transformers":
            from semloop.embedders.torch_model import TorchModel

            return TorchModel(
                _wanted("embedder_model", settings.embedding.model, settings)
            )


def _wanted(name: str, value: str | None, settings: Settings) -> str:
    if value:
        return value
    msg = f"The embedder {settings.embedding.kind!r} needs the setting {name!r}."
    raise ConfigError(msg, f"Set SEMLOOP_{name.upper()}.")
