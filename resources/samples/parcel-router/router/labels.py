"""The label of a parcel: depot code, running number and a check digit."""

WEIGHTS = (3, 1, 7)


def check_digit(digits):
    """Weighted sum of the digits modulo 11; ten is written as X."""
    total = sum(int(digit) * WEIGHTS[place % len(WEIGHTS)] for place, digit in enumerate(digits))
    remainder = total % 11
    return "X" if remainder == 10 else str(remainder)


def make_label(code, number):
    """make_label("GRZ", 42) == "GRZ-00000042-3"."""
    digits = f"{number:08d}"
    return f"{code}-{digits}-{check_digit(digits)}"


def parse_label(label):
    """Returns (code, number). Raises ValueError if the check digit is wrong."""
    code, digits, check = label.split("-")
    if check_digit(digits) != check:
        raise ValueError(f"{label}: the check digit should be {check_digit(digits)}")
    return code, int(digits)
