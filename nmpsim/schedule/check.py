"""placeholder"""


def check_program(program, params):
    return None
