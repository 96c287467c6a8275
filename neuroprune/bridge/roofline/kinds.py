"""Which functions of torch cost alike, so that calibrating one says what the others take."""

from collections.abc import Mapping

PRODUCTS = frozenset(
    ("linear", "matmul", "rmatmul", "mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "inner", "einsum",
     "tensordot", "bilinear", "linalg_multi_dot", "chain_matmul")
)  # fmt: skip
"""Functions that are matrix products, where operations are counted in them."""

_ALIKE: Mapping[str, str] = {
    "elementwise": (
        # Arithmetic, comparisons and cheap activations,
        "add iadd sub isub subtract mul imul multiply div idiv itruediv true_divide divide floor_divide floordiv rsub "
        "rdiv rtruediv rfloordiv reciprocal neg abs absolute sign square sqrt fmod remainder floor ceil round trunc "
        "clamp clip clamp_min clamp_max maximum minimum lerp addcmul addcdiv nan_to_num eq ne lt le gt ge logical_and "
        "logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor and or xor invert isnan "
        "isinf isfinite relu relu6 leaky_relu prelu rrelu threshold hardtanh hardshrink softshrink softsign "
        # copies,
        "cat concat concatenate stack hstack vstack clone contiguous reshape flatten copy to type type_as float double "
        "half bfloat16 int long bool cpu cuda repeat tile pad tril triu "
        # and what only writes.
        "zeros ones full empty arange eye zeros_like ones_like full_like empty_like new_zeros new_ones new_full "
        "new_empty fill zero"
    ),
    "transcendental": (
        "tanh sigmoid silu mish softplus elu selu celu exp exp2 expm1 log log2 log10 log1p pow rpow rsqrt erf erfc sin "
        "cos softmax softmin log_softmax log_sigmoid tanhshrink glu hardswish hardsigmoid"
    ),
    "gelu": "gelu",
    "selection": "where masked_fill",
    "reduction": (
        "mean sum prod max min amax amin any all var std norm linalg_norm linalg_vector_norm adaptive_avg_pool1d "
        "adaptive_avg_pool2d"
    ),
    "pooling": (
        "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices "
        "avg_pool1d avg_pool2d avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d "
        "adaptive_avg_pool3d lp_pool1d lp_pool2d lp_pool3d"
    ),
    "batch norm": "batch_norm instance_norm",
    "layer norm": "layer_norm rms_norm group_norm normalize",
    "attention": "scaled_dot_product_attention",
    "multi-head attention": "multi_head_attention_forward",
}
_KINDS = {function: kind for kind, functions in _ALIKE.items() for function in functions.split()}


def kind_of_function(name: str) -> str:
    """Return what a function is calibrated with; one that is not known to be like others is a kind of its own."""
    return _KINDS.get(name, name)
