"""The validation bench: anybody's model of operator time against cycle runs."""

from nmpsim.validate.operator import Chip, Operator, Product

__all__ = ["Chip", "Operator", "Product"]
