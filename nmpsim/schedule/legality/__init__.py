"""The rules of a legal program, one file each.  They share no code with the encoder.

listing.py     all instructions in one array, faults with their places
form.py        every instruction fits its unit and the chip
operands.py    which bytes of the buffer an instruction reads and writes; they lie in the buffer
placement.py   images lie in the banks and do not overlap; moves refer to images
delivery.py    streams deliver exactly the beats that the passes take
work.py        multiply-accumulates and streamed bytes are those of the operators
order.py       queues, semaphores, messages and FIFOs come to an end
clocks.py      what is certain to have happened before what
hazards.py     no byte is read before it is written, or overwritten while it is needed
"""
