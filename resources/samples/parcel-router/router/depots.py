"""The depots of the network and what they can take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Depot:
    """A place where parcels are sorted."""

    code: str
    city: str
    parcels_per_hour: int
    takes_hazardous: bool = False


# The depots in operation. Capacity was measured in the peak week of December.
DEPOTS = {
    depot.code: depot
    for depot in (
        Depot("GRZ", "Graz", 4200),
        Depot("VIE", "Vienna", 11500, takes_hazardous=True),
        Depot("LNZ", "Linz", 6100),
        Depot("SZG", "Salzburg", 3800),
        Depot("IBK", "Innsbruck", 2900),
    )
}

# Hours of driving between two depots, in both directions.
ROADS = {
    ("GRZ", "VIE"): 2.2,
    ("VIE", "LNZ"): 1.9,
    ("LNZ", "SZG"): 1.4,
    ("SZG", "IBK"): 2.0,
    ("GRZ", "SZG"): 2.9,
}


def neighbours(code):
    """Yields (code, hours) of every depot that has a road to this one."""
    for (first, second), hours in ROADS.items():
        if first == code:
            yield second, hours
        elif second == code:
            yield first, hours
