"""What other programs call."""

from router.labels import parse_label
from router.retry import call_with_retry
from router.route import cheapest_route


class Router:
    """Plans the way of a parcel and announces it to every depot on the way."""

    def __init__(self, announce):
        self._announce = announce  # announce(depot_code, label), may raise ConnectionError

    def send(self, label, goal, hazardous=False):
        start, _ = parse_label(label)
        hours, path = cheapest_route(start, goal, hazardous)
        for code in path[1:]:
            call_with_retry(self._announce, code, label)
        return hours
