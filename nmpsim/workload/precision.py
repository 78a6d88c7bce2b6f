"""Number formats of weights, activations and KV cache, and the bytes that follow from them.

=========  =====  ==========================================================================================
format     bits   numbers
=========  =====  ==========================================================================================
``fp16``   16     IEEE 754 binary16
``bf16``   16     bfloat16
``fp8``    8      E4M3 of the OCP 8-bit floating point specification: bias 7, largest 448, no infinity
``int8``   8      two's complement, -127 to 127
``int4``   4      two's complement, -7 to 7
=========  =====  ==========================================================================================

Weights of 8 and 4 bits are codes with scales in the format of the PEs (FP16, or BF16 where a chip says so): a weight is
code x scale, rounded to that format.  Integers have a scale
for every ``group`` consecutive k of every column, FP8 one for every block of ``group`` x ``group``.  Router, LM head,
embedding, norms and biases stay as they are, as in the published FP8 and 4-bit checkpoints.  A KV cache of 8 bits has
no scales: FP8 as it is, INT8 in fixed steps of `KV_STEP`.

Source
------
OCP 8-bit Floating Point Specification (OFP8) 1.0, table 1; DeepSeek-V3 Technical Report, arXiv 2412.19437, section 3.3
(blocks of 128 x 128); Frantar et al., GPTQ, arXiv 2210.17323, section 4 (groups of 128).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nmpsim.errors import Fault, WorkloadError
from nmpsim.workload.limits import shown
from nmpsim.workload.operators import ATTENTION_KINDS, GEMM_KINDS, Operator, OperatorKind

FP16, BF16, FP8, INT8, INT4 = "fp16", "bf16", "fp8", "int8", "int4"
"""Names of the formats."""

BITS: Mapping[str, int] = {FP16: 16, BF16: 16, FP8: 8, INT8: 8, INT4: 4}
"""Bits of an element, by format."""

SCALED = frozenset({FP8, INT8, INT4})
"""Formats of weights that come with scales."""

SCALE_BYTES = 2
"""FP16 or BF16: bytes of a scale."""

GROUP = 128
"""Elements along k that share a scale, unless said otherwise."""

LARGEST_GROUP = 4096
"""Longest group taken; elements."""

KV_STEP = 2.0**-4
"""Value of one step of an INT8 KV cache (assumed: most keys and values stay within 127 steps, +-7.9, others become the
largest; a power of two, so that the decoder only sets the exponent and the value is exact in FP16)."""

CONFIG = "config"
"""Word for the format that the model's own file states."""

WHOLE_KINDS = frozenset({OperatorKind.ROUTER, OperatorKind.LM_HEAD})
"""GEMM kinds whose weights stay in the format of the PEs."""

NARROW_TENSORS = frozenset({str(kind) for kind in GEMM_KINDS - WHOLE_KINDS} | {"shared.gate_up", "shared.down"})
"""Names of the weight tensors that may be narrow."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Formats of one decode step.

    Parameters
    ----------
    weights, activations, kv : str
        Formats.
    group : int
        Elements along k that share a scale of the weights; of FP8 also along n.  0: no scales.
    """

    weights: str = FP16
    activations: str = FP16
    kv: str = FP16
    group: int = 0

    def __str__(self) -> str:
        scales = f":{self.group}" if self.group else ""
        return f"weights {self.weights}{scales}, activations {self.activations}, KV cache {self.kv}"

    @property
    def scaled(self) -> tuple[int, int]:
        """Elements along k and along n that share a scale; (0, 0): no scales."""
        return (self.group, self.group if self.weights == FP8 else 1) if self.group else (0, 0)

    def narrows(self, kind: OperatorKind) -> bool:
        """Whether the weights of a kind of GEMM are in the narrow format."""
        return self.weights in SCALED and kind in GEMM_KINDS - WHOLE_KINDS

    def scales_of(self, k: int, n: int) -> int:
        """Return the scales of a narrow weight matrix (k, n)."""
        if not self.group:
            return 0
        rows, columns = self.scaled
        return -(-k // rows) * -(-n // columns)

    def tensor_bytes(self, name: str, rows: int, columns: int, copies: int, whole: int) -> int:
        """Return the bytes of a weight tensor, scales included.

        Parameters
        ----------
        name : str
            Of the tensor, without its layer.
        rows, columns, copies : int
            Its shape.
        whole : int
            Its bytes in its own format.
        """
        if self.weights not in SCALED or name not in NARROW_TENSORS:
            return whole
        elements = -(-rows * columns * BITS[self.weights] // 8)
        return copies * (elements + SCALE_BYTES * self.scales_of(rows, columns))


PLAIN = Precision()
"""FP16 everywhere."""


def narrowed(operator: Operator, precision: Precision) -> Operator:
    """Return an operator with its bytes in the formats of a step.

    Parameters
    ----------
    operator : Operator
    precision : Precision
    """
    if precision.narrows(operator.kind):
        scales = max(1, operator.heads) * precision.scales_of(operator.k, operator.n)
        return replace(operator, weight_bits=BITS[precision.weights], scales=scales)
    if operator.kind in ATTENTION_KINDS or operator.kind is OperatorKind.KV_APPEND:
        return replace(operator, kv_bits=BITS[precision.kv]) if BITS[precision.kv] != BITS[FP16] else operator
    return operator


def read_precision(
    weights: str = "",
    activations: str = "",
    kv: str = "",
    stored: str = "",
    model: str = "the model",
    operands: str = FP16,
) -> Precision:
    """Return the formats that the options of a step name.

    Parameters
    ----------
    weights : str
        ``fp16``, or a format with an optional group, such as ``int4:64``; ``config`` for what the model's file states;
        empty for that of the PEs.
    activations, kv : str
        Formats; empty for that of the PEs.
    stored : str
        What the model's file states, in the same words; empty for nothing.
    model : str
        Its name, for messages.
    operands : str
        Format of the PEs of the chip, ``fp16`` or ``bf16``.

    Raises
    ------
    WorkloadError
        With every fault of the words, and every format that the PEs have no datapath for.
    """
    faults: list[Fault] = []
    text = weights or operands
    if text == CONFIG:
        if not stored:
            fault = Fault(
                "--weights", CONFIG, f"a model whose file states a format; {model} does not", "name the format"
            )
            faults.append(fault)
        text = stored or operands
    name, colon, digits = text.partition(":")
    short = digits.isdecimal() and len(digits) <= len(str(LARGEST_GROUP))
    group = (int(digits) if short else 0) if colon else GROUP
    names = ", ".join(BITS)
    if name not in BITS:
        faults.append(Fault("--weights", shown(text), f"{names}, or {CONFIG}", "choose one of them"))
    elif name not in SCALED and colon:
        faults.append(Fault("--weights", shown(text), f"no group behind {name}", "leave the group out"))
    elif name in SCALED and not 2 <= group <= LARGEST_GROUP:
        allowed = f"a group of 2 to {LARGEST_GROUP} elements behind the colon"
        faults.append(Fault("--weights", shown(text), allowed, "correct the group, or leave it out"))
    for option, word in (("--activations", activations), ("--kv", kv)):
        if word and word not in BITS:
            faults.append(Fault(option, shown(word), names, "choose one of them"))
    found = Precision(name, activations or operands, kv or operands, group if name in SCALED else 0)
    faults = faults or datapath_faults(found, operands)
    if faults:
        raise WorkloadError("no such precision", faults)
    return found


_MISFIT: Mapping[str, str] = {
    FP16: "the range of BF16 does not fit into FP16",
    BF16: "the 11 significant bits of FP16 do not fit into BF16",
}
"""Why numbers of the other 16-bit format are not taken, by the format of the PEs: converting a model decides about its
accuracy, which no simulator should do in passing."""


def datapath_faults(precision: Precision, operands: str = FP16) -> list[Fault]:
    """Faults of formats that the PEs of a chip have no datapath for.

    Parameters
    ----------
    precision : Precision
        Of known formats.
    operands : str
        Format of the PEs, ``fp16`` or ``bf16``.
    """
    faults = []
    name = operands.upper()
    pe = f"the PEs multiply {name} by {name}"
    if precision.weights not in {operands, *SCALED}:
        allowed = f"{operands}, {FP8}, {INT8} or {INT4}: {pe}, and {_MISFIT[operands]}"
        todo = f"convert the weights to {name} first, or set core.operands of the chip"
        faults.append(Fault("--weights", precision.weights, allowed, todo))
    if precision.activations != operands:
        allowed = f"{operands}: {pe}, and vector unit and buffer hold activations in {name}"
        faults.append(Fault("--activations", precision.activations, allowed, "leave the option out"))
    if precision.kv not in {operands, FP8, INT8}:
        allowed = f"{operands}, {FP8} or {INT8}: no other format is appended and decoded"
        faults.append(Fault("--kv", precision.kv, allowed, "choose one of them"))
    return faults
