"""Finds the way of a parcel through the network."""

import heapq

from router.depots import DEPOTS, neighbours

# Sorting a parcel in a depot on the way costs as much as this many hours of driving.
SORTING_HOURS = 0.75


class NoRoute(Exception):
    """There is no way between the two depots."""


def cheapest_route(start, goal, hazardous=False):
    """Returns (hours, [codes]) of the cheapest way, by Dijkstra's algorithm.

    A hazardous parcel may only be sorted in depots that take hazardous goods; its start and its goal are exempt.
    """
    queue = [(0.0, start, [start])]
    settled = set()
    while queue:
        hours, code, path = heapq.heappop(queue)
        if code == goal:
            return hours, path
        if code in settled:
            continue
        settled.add(code)
        if hazardous and code != start and not DEPOTS[code].takes_hazardous:
            continue
        for following, driving in neighbours(code):
            sorting = 0.0 if following == goal else SORTING_HOURS
            heapq.heappush(queue, (hours + driving + sorting, following, path + [following]))
    raise NoRoute(f"no route from {start} to {goal}")
