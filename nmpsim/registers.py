"""Arrays as kernels see them: an address and a shape.

numba passes an array as seven words and more: owner, length, item size, address, and shape and stride of every
dimension.  A network alone has seventy arrays, and every function that is compiled into its caller gets them all, so
much of a compilation went into moving these words about.  The arrays of a state are all contiguous, and kernels neither
make nor keep any: an address and a shape are enough.  An index is taken as it is, a negative one does not count from
the end; the checked lane tells of every index that is negative or too large.

::

    kernel(state)   ->   registers(state)   ->   Registers(dtype, dimensions): {address, n0, n1, ...}
"""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.imputils import lower_builtin, lower_getattr
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import NativeValue, register_model, typeof_impl, unbox
from numba.np import numpy_support

CHECKED = os.environ.get("NMPSIM_LANE") == "checked"
"""Whether every index is checked."""


class RegisterArray(np.ndarray):
    """A contiguous array of which compiled code is told address and shape only."""

    __numba_array_subtype_dispatch__ = True


class Registers(types.Type):
    """Type of such an array in compiled code.

    Parameters
    ----------
    dtype : numba type
        Of an item.
    ndim : int
        Dimensions.
    """

    def __init__(self, dtype: Any, ndim: int) -> None:
        self.dtype, self.ndim = dtype, ndim
        super().__init__(name=f"Registers({dtype}, {ndim})")


def registers(value: Any) -> Any:
    """Return a state whose arrays, in nested tuples too, go into kernels by address and shape.

    Parameters
    ----------
    value : NamedTuple, ndarray or any other argument of a kernel
        Arrays outside a tuple are left as they are.

    Raises
    ------
    ValueError
        If an array of a tuple is not contiguous.
    """
    if not isinstance(value, tuple):
        return value
    items = [_view(item) if isinstance(item, np.ndarray) else registers(item) for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def _view(array: np.ndarray) -> RegisterArray:
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        raise ValueError("an array of a state must be contiguous and aligned")
    return array.view(RegisterArray)


@typeof_impl.register(RegisterArray)
def _type_of(value: RegisterArray, _context: Any) -> Registers:
    return Registers(numpy_support.from_dtype(value.dtype), value.ndim)


@register_model(Registers)
class _RegistersModel(models.StructModel):
    def __init__(self, manager: Any, kind: Registers) -> None:
        shape = [(f"n{d}", types.intp) for d in range(kind.ndim)]
        super().__init__(manager, kind, [("address", types.voidptr), *shape])


@unbox(Registers)
def _unbox(kind: Registers, value: Any, c: Any) -> NativeValue:
    array_type = types.Array(kind.dtype, kind.ndim, "C")
    native = c.unbox(array_type, value)
    array = c.context.make_array(array_type)(c.context, c.builder, native.value)
    made = cgutils.create_struct_proxy(kind)(c.context, c.builder)
    made.address = c.builder.bitcast(array.data, cgutils.voidptr_t)
    for d, n in enumerate(cgutils.unpack_tuple(c.builder, array.shape, kind.ndim)):
        setattr(made, f"n{d}", n)
    return NativeValue(made._getvalue(), is_error=native.is_error)  # noqa: SLF001 - numba has no other


def _dimensions(index: Any) -> int:
    """Return how many dimensions an index fixes; 0 if it is no index of whole numbers."""
    if isinstance(index, types.Integer | types.Boolean):
        return 1
    if isinstance(index, types.BaseTuple):
        parts: list[Any] = list(index)  # type: ignore[call-overload]
        return len(parts) if all(isinstance(part, types.Integer | types.Boolean) for part in parts) else 0
    return 0


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002 - numba's signature
        kind, index = args
        if not isinstance(kind, Registers) or not 0 < _dimensions(index) <= kind.ndim:
            return None
        left = kind.ndim - _dimensions(index)
        return signature(Registers(kind.dtype, left) if left else kind.dtype, kind, index)


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002 - numba's signature
        kind, index, _ = args
        if not isinstance(kind, Registers) or _dimensions(index) != kind.ndim:
            return None
        return signature(types.none, kind, index, kind.dtype)


@infer_global(len)
class _Length(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:  # noqa: ARG002 - numba's signature
        return signature(types.intp, *args) if isinstance(args[0], Registers) else None


@infer_getattr
class _Attributes(AttributeTemplate):
    key = Registers

    def resolve_shape(self, kind: Registers) -> Any:
        return types.UniTuple(types.intp, kind.ndim)


def _address(context: Any, builder: Any, kind: Registers, array: Any, index_type: Any, index: Any) -> Any:
    """Emit the address of an item, or of the first of a row."""
    if isinstance(index_type, types.BaseTuple):
        indices, index_types = cgutils.unpack_tuple(builder, index, len(index_type)), list(index_type)  # type: ignore[call-overload]
    else:
        indices, index_types = [index], [index_type]
    at = None
    for d in range(kind.ndim):
        if d < len(indices):
            step = context.cast(builder, indices[d], index_types[d], types.intp)
            if CHECKED:
                cgutils.do_boundscheck(context, builder, step, getattr(array, f"n{d}"), d)
            at = step if at is None else builder.add(builder.mul(at, getattr(array, f"n{d}")), step)
        else:
            at = builder.mul(at, getattr(array, f"n{d}"))
    size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    offset = builder.mul(at, context.get_constant(types.intp, size))
    return builder.gep(array.address, [offset], source_etype=cgutils.int8_t)


@lower_builtin(operator.getitem, Registers, types.Any)
def _get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind, index_type = sig.args
    array = cgutils.create_struct_proxy(kind)(context, builder, value=args[0])
    address = _address(context, builder, kind, array, index_type, args[1])
    if isinstance(sig.return_type, Registers):
        row = cgutils.create_struct_proxy(sig.return_type)(context, builder)
        row.address = address
        first = kind.ndim - sig.return_type.ndim
        for d in range(sig.return_type.ndim):
            setattr(row, f"n{d}", getattr(array, f"n{first + d}"))
        return row._getvalue()  # noqa: SLF001 - numba has no other
    return context.unpack_value(builder, kind.dtype, _pointer(context, builder, kind, address))


@lower_builtin(operator.setitem, Registers, types.Any, types.Any)
def _set(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind, index_type, value_type = sig.args
    array = cgutils.create_struct_proxy(kind)(context, builder, value=args[0])
    address = _address(context, builder, kind, array, index_type, args[1])
    value = context.cast(builder, args[2], value_type, kind.dtype)
    context.pack_value(builder, kind.dtype, value, _pointer(context, builder, kind, address))
    return context.get_dummy_value()


def _pointer(context: Any, builder: Any, kind: Registers, address: Any) -> Any:
    return builder.bitcast(address, context.get_data_type(kind.dtype).as_pointer())


@lower_builtin(len, Registers)
def _length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0]).n0


@lower_getattr(Registers, "shape")
def _shape(context: Any, builder: Any, kind: Registers, value: Any) -> Any:
    array = cgutils.create_struct_proxy(kind)(context, builder, value=value)
    shape = [getattr(array, f"n{d}") for d in range(kind.ndim)]
    return context.make_tuple(builder, types.UniTuple(types.intp, kind.ndim), shape)
