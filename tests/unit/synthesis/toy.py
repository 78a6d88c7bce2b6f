"""A cell library of three cells with round numbers, and netlists made of them by hand."""

from pathlib import Path

from rtl_models.synthesis.liberty import Library
from rtl_models.synthesis.libraries import Kit
from rtl_models.synthesis.mapping import Instance, Netlist

TABLE = 'index_1 ("0, 100"); index_2 ("0, 10");'
LIBRARY = f"""
library (toy) {{
  time_unit : "1ps";
  voltage_unit : "1V";
  leakage_power_unit : "1pW";
  capacitive_load_unit (1,ff);
  nom_voltage : 2.0;
  nom_temperature : 25;
  /* one table for delays, one for set-up, one for passive power */
  lu_table_template (by_slew_and_load) {{
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
  }}
  lu_table_template (setup) {{
    variable_1 : related_pin_transition;
    variable_2 : constrained_pin_transition;
    index_1 ("0, 100");
    index_2 ("0, 100");
  }}
  power_lut_template (passive) {{ variable_1 : input_transition_time; index_1 ("0, 100"); }}
  cell (INV) {{
    area : 1.5
    cell_leakage_power : 2000;
    pin (A) {{ direction : input; capacitance : 1.0; }}
    pin (Y) {{
      direction : output;
      function : "(!A)";
      timing () {{
        related_pin : "A";
        timing_sense : negative_unate;
        cell_rise (by_slew_and_load) {{ {TABLE} values ("10, 30", "20, 40"); }}
        cell_fall (by_slew_and_load) {{ {TABLE} values ("8, 28", "18, 38"); }}
        rise_transition (by_slew_and_load) {{ {TABLE} values ("0, 0", "0, 0"); }}
        fall_transition (by_slew_and_load) {{ {TABLE} values ("0, 0", "0, 0"); }}
      }}
      internal_power () {{
        related_pin : "A";
        rise_power (by_slew_and_load) {{ {TABLE} values ("3, 3", "3, 3"); }}
        fall_power (by_slew_and_load) {{ {TABLE} values ("1, 1", "1, 1"); }}
      }}
    }}
  }}
  cell (NAND) {{
    area : 2.0;
    leakage_power () {{ value : 5; when : "A"; }}
    leakage_power () {{ value : 3000; }}
    pin (A) {{ direction : input; capacitance : 1.0; }}
    pin (B) {{ direction : input; capacitance : 1.0; }}
    pin (Y) {{
      direction : output;
      function : "(A B)'";
      timing () {{
        related_pin : "A"; timing_sense : negative_unate;
        cell_rise (by_slew_and_load) {{ {TABLE} values ("5, 25", "5, 25"); }}
        cell_fall (by_slew_and_load) {{ {TABLE} values ("5, 25", "5, 25"); }}
        rise_transition (by_slew_and_load) {{ {TABLE} values ("0, 0", "0, 0"); }}
        fall_transition (by_slew_and_load) {{ {TABLE} values ("0, 0", "0, 0"); }}
      }}
      timing () {{
        related_pin : "B"; timing_sense : negative_unate;
        cell_rise (by_slew_and_load) {{ {TABLE} values ("7, 27", "7, 27"); }}
        cell_fall (by_slew_and_load) {{ {TABLE} values ("7, 27", "7, 27"); }}
        rise_transition (by_slew_and_load) {{ {TABLE} values ("0, 0", "0, 0"); }}
        fall_transition (by_slew_and_load) {{ {TABLE} values ("0, 0", "0, 0"); }}
      }}
    }}
  }}
  cell (DFF) {{
    area : 4.0;
    cell_leakage_power : 1000;
    ff (IQ,IQN) {{ next_state : "D"; clocked_on : "C"; }}
    pin (C) {{
      direction : input; clock : true; capacitance : 0.5;
      internal_power () {{
        when : "D";
        rise_power (passive) {{ values ("2, 2"); }}
        fall_power (passive) {{ values ("1, 1"); }}
      }}
      internal_power () {{
        when : "!D";
        rise_power (passive) {{ values ("4, 4"); }}
        fall_power (passive) {{ values ("3, 3"); }}
      }}
    }}
    pin (D) {{
      direction : input; capacitance : 2.0;
      timing () {{
        related_pin : "C"; timing_type : setup_rising;
        rise_constraint (setup) {{ values ("6, 6", "6, 6"); }}
        fall_constraint (setup) {{ values ("9, 9", "9, 9"); }}
      }}
    }}
    pin (Q) {{
      direction : output; function : "IQ";
      timing () {{
        related_pin : "C"; timing_type : rising_edge;
        cell_rise (by_slew_and_load) {{ {TABLE} values ("20, 40", "20, 40"); }}
        cell_fall (by_slew_and_load) {{ {TABLE} values ("22, 42", "22, 42"); }}
        rise_transition (by_slew_and_load) {{ {TABLE} values ("0, 0", "0, 0"); }}
        fall_transition (by_slew_and_load) {{ {TABLE} values ("0, 0", "0, 0"); }}
      }}
      internal_power () {{
        related_pin : "C";
        rise_power (by_slew_and_load) {{ {TABLE} values ("5, 5", "5, 5"); }}
        fall_power (by_slew_and_load) {{ {TABLE} values ("7, 7", "7, 7"); }}
      }}
    }}
  }}
}}
"""


def library(folder: Path) -> Library:
    """Write and read the library."""
    path = folder / "toy.lib"
    path.write_text(LIBRARY)
    return Library([path])


KIT = Kit("toy", (Path("toy.lib"),), Path("toy.lib"), "DFF", "INV", 5.0, (), (), 0.25, "test", 0.5, "test")


def instance(name, kind, **nets):
    return Instance(name, kind, nets)


def toggle() -> Netlist:
    """A flip-flop that feeds itself through NAND(q, en) and drives the output q."""
    return Netlist(
        "toggle",
        {"clk": (1,), "rst": (2,), "en": (3,)},
        {"q": (4,)},
        (instance("ff", "DFF", C=1, D=5, Q=4), instance("g", "NAND", A=4, B=3, Y=5)),
    )
