"""The banks of a buffer that an access opens: from address and length to one bit per bank, without a clock.

    address --> word = address / bank_bytes --> first = word mod banks --+
                offset = address mod bank_bytes --+                      v
    bytes --------------------------------------> + --> count --> [ ones(count) turned by first ] --> set

Words lie round-robin over the banks.  A *stream* has a line register that keeps the rest of a bank's word: it opens the
banks of those words only that begin within its bytes.

Four banks of 16 bytes, six accesses (bank 0 is the last bit)::

    cycle      0      1      2      3      4      5
    address    0      24     24     40     56     100
    bytes      16     16     16     40     64     0
    stream     0      0      1      0      1      0
    set        0001   0110   0100   1101   1111   0000
"""

from __future__ import annotations

import pyrtl

from rtl_models.core.wires import log2


class Banks:
    """A buffer of some banks.

    Parameters
    ----------
    banks : int
        Any number; powers of two need no division.
    bank_bytes : int
        Width of a bank's port; a power of two.

    Raises
    ------
    ValueError
        If `bank_bytes` is no power of two.
    """

    def __init__(self, banks: int, bank_bytes: int) -> None:
        self.banks = banks
        self.offset_bits = log2(bank_bytes, "bank_bytes")
        self.last_byte = bank_bytes - 1

    def address_bits(self, most: int) -> int:
        """Return how many bits of an address of `most` bits matter: banks repeat."""
        repeats = self.banks & (self.banks - 1) == 0
        return min(most, max(self.offset_bits + (self.banks - 1).bit_length(), 1)) if repeats else most

    def of(
        self, address: pyrtl.WireVector, length: pyrtl.WireVector, stream: pyrtl.WireVector | int = 0
    ) -> pyrtl.WireVector:
        """Return the set of banks of an access; no bytes open none.

        Parameters
        ----------
        address : WireVector
            First byte.
        length : WireVector
            Bytes.
        stream : WireVector or int
            1: a stream with a line register.
        """
        fraction = self.offset_bits
        offset = address[:fraction] if fraction else pyrtl.Const(0, 1)
        word = address[fraction:] if len(address) > fraction else pyrtl.Const(0, 1)
        goes_on = (offset != 0) & stream  # the word at the address was opened before
        ends = offset + length + self.last_byte
        touched = ends[fraction:] if len(ends) > fraction else pyrtl.Const(0, 1)
        count = (touched - goes_on).truncate(len(touched))
        some = pyrtl.select(length == 0, pyrtl.Const(0, len(count)), count)
        return self._turned(some, self._modulo(word + goes_on))

    def _modulo(self, word: pyrtl.WireVector) -> pyrtl.WireVector:
        """Return word mod banks: the low bits, and a division without quotient for the odd factor of `banks`."""
        even = (self.banks & -self.banks).bit_length() - 1
        odd = self.banks >> even
        low = [word[:even]] if even else []
        if odd == 1 or len(word) <= even:
            return pyrtl.concat_list(low) if low else pyrtl.Const(0, 1)
        rest = pyrtl.Const(0, odd.bit_length())
        for bit in reversed(word[even:]):
            doubled = pyrtl.concat(rest, bit)
            less = (doubled - odd).truncate(len(rest))
            rest = pyrtl.select(doubled >= odd, less, doubled.truncate(len(rest)))
        return pyrtl.concat_list([*low, rest])

    def _turned(self, count: pyrtl.WireVector, first: pyrtl.WireVector) -> pyrtl.WireVector:
        """Return `count` ones from bank `first` on, round-robin."""
        ones = pyrtl.concat_list([count > bank for bank in range(self.banks)])
        wide = pyrtl.shift_left_logical(ones.zero_extended(2 * self.banks), first)
        return wide[: self.banks] | wide[self.banks :]
