"""Area and energy: tables of synthesis and sourced coefficients, times what a chip has and what a run did."""
