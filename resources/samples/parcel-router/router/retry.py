"""Calls that are tried again."""

import random
import time

# A depot's computer restarts in about half a minute: six attempts with doubling pauses outlast that.
MAX_ATTEMPTS = 6
FIRST_PAUSE_S = 0.8
LONGEST_PAUSE_S = 20.0


class GaveUp(Exception):
    """All attempts failed; the last error is its cause."""


def pause_before(attempt, jitter=random.random):
    """Seconds to wait before attempt 1, 2, ...: doubling, bounded, with up to a quarter of random jitter."""
    pause = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)
    return pause * (1 + 0.25 * jitter())


def call_with_retry(function, *arguments, sleep=time.sleep):
    """Calls the function until it succeeds. Only ConnectionError is tried again."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return function(*arguments)
        except ConnectionError as error:
            if attempt == MAX_ATTEMPTS:
                raise GaveUp(f"gave up after {attempt} attempts") from error
            sleep(pause_before(attempt))
