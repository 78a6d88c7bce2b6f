"""Products swept over the mappings of one core: cycles, utilisation and bandwidth of each, by the cycle model.

mapping.py   every shape, dataflow and relation of the groups that a compute unit can be put into
program.py   a product on a mapping, as instructions: passes, and the additions of partial sums
edges.py     bytes that the edges of the compute unit move in a step and in all
run.py       one core alone runs it (`nmpsim.core.alone`); what it took
decode.py    the products of a decode step, as one PU sees them
tables.py    rows of a sweep as a table, a CSV file and a Parquet file
figure.py    utilisation over M
"""

from nmpsim.sweep.decode import Product, decode_products
from nmpsim.sweep.mapping import mappings
from nmpsim.sweep.run import Measured, best, measure, sweep

__all__ = ["Measured", "Product", "best", "decode_products", "mappings", "measure", "sweep"]
