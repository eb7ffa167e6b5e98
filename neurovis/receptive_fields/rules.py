"""The table of torch's operations whose effect on receptive fields is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch._ops import OpOverload

from neurovis.receptive_fields import operations, rearrangements
from neurovis.receptive_fields.call import Call
from neurovis.receptive_fields.trace import Trace

#: Takes a call and returns the trace of its outputs, a list with one for each, or None where the
#: values do not depend on the image. Raises ``UnknownFieldError`` where it cannot tell.
Rule = Callable[[Call], Trace | list[Trace] | None]

# Pointwise operations that torch does not tag as such, or did not before 2.13.
_ELEMENTWISE = """
    _prelu_kernel _to_copy alias celu clone contiguous copy detach elu gelu hardsigmoid hardswish
    hardtanh leaky_relu lift lift_fresh log_sigmoid_forward masked_fill mish native_dropout
    rrelu_with_noise rsub selu threshold where
"""
_CONSTANT_RESULTS = """
    _local_scalar_dense empty_like full_like is_same_size new_empty new_empty_strided new_full
    new_ones new_zeros ones_like rand_like randn_like zero zeros_like
"""
_REDUCTION = """
    all amax amin any argmax argmin linalg_vector_norm logsumexp max mean median min norm prod std
    std_mean sum var var_mean
"""
_BATCH_NORM = """
    _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm
    miopen_batch_norm native_batch_norm
"""

_ATTENTION = """
    _native_multi_head_attention _scaled_dot_product_cudnn_attention
    _scaled_dot_product_efficient_attention
    _scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu
"""

_RULES: dict[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), rearrangements.elementwise),
    **dict.fromkeys(_CONSTANT_RESULTS.split(), rearrangements.constant),
    **dict.fromkeys(_ATTENTION.split(), rearrangements.attention),
    **dict.fromkeys(_REDUCTION.split(), operations.reduction),
    **dict.fromkeys(_BATCH_NORM.split(), operations.batch_norm),
    **dict.fromkeys(["channel_shuffle", "native_channel_shuffle"], rearrangements.same),
    **dict.fromkeys(["_softmax", "_safe_softmax", "_log_softmax", "cumsum"], operations.softmax),
    **dict.fromkeys(["view", "_unsafe_view", "_reshape_alias"], rearrangements.reshaped),
    **dict.fromkeys(["transpose", "t"], rearrangements.transposed),
    **dict.fromkeys(["split", "split_with_sizes"], rearrangements.split),
    **dict.fromkeys(["flip", "index_select", "sort"], rearrangements.resized),
    "as_strided_": rearrangements.restrided,
    "cat": rearrangements.joined,
    "convolution": operations.convolution,
    "copy_": rearrangements.copied,
    "expand": rearrangements.expanded,
    "fill_": rearrangements.filled,
    "glu": operations.gated,
    "index": rearrangements.indexed,
    "linear": operations.linear,
    "native_group_norm": operations.group_norm,
    "native_layer_norm": operations.layer_norm,
    "_fused_rms_norm": operations.layer_norm,
    "permute": rearrangements.permuted,
    "roll": rearrangements.rolled,
    "repeat": rearrangements.repeated,
    "select": rearrangements.selected,
    "slice": rearrangements.sliced,
    "squeeze": rearrangements.squeezed,
    "stack": rearrangements.stacked_trace,
    "unbind": rearrangements.unbound,
    "unsqueeze": rearrangements.unsqueezed,
    "mm": partial(rearrangements.multiplied, left="self", right="mat2"),
    "bmm": partial(rearrangements.multiplied, left="self", right="mat2"),
    "addmm": partial(rearrangements.multiplied, left="mat1", right="mat2"),
    "baddbmm": partial(rearrangements.multiplied, left="batch1", right="batch2"),
}

for _count in (1, 2, 3):
    for _name in (f"avg_pool{_count}d", f"max_pool{_count}d", f"max_pool{_count}d_with_indices"):
        _RULES[_name] = partial(operations.pooling, count=_count)
    for _name in (f"_adaptive_avg_pool{_count}d", f"adaptive_max_pool{_count}d"):
        _RULES[_name] = partial(operations.adaptive_pooling, count=_count)
    for _name in (f"reflection_pad{_count}d", f"replication_pad{_count}d", "constant_pad_nd"):
        _RULES[_name] = operations.padding
    for _name in (f"upsample_nearest{_count}d", f"_upsample_nearest_exact{_count}d"):
        _RULES[_name] = partial(operations.nearest, count=_count)
    _interpolation = f"upsample_{('linear', 'bilinear', 'trilinear')[_count - 1]}{_count}d"
    _RULES[_interpolation] = partial(operations.linear_interpolation, count=_count)


def rule_of(operation: OpOverload) -> Rule | None:
    """The rule for an operation, or None if its effect is not known."""
    namespace, name = operation._schema.name.split("::")
    if namespace != "aten":
        return None
    if torch.Tag.pointwise in operation.tags:
        return rearrangements.elementwise
    if operation._schema.is_mutable and name not in _RULES:
        name = name.removesuffix("_")
    return _RULES.get(name)
