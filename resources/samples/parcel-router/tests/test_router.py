import unittest

from router.labels import make_label, parse_label
from router.retry import GaveUp, call_with_retry
from router.route import cheapest_route


class RouterTest(unittest.TestCase):
    def test_label_round_trip(self):
        self.assertEqual(parse_label(make_label("GRZ", 42)), ("GRZ", 42))

    def test_hazardous_parcels_avoid_depots_that_do_not_take_them(self):
        self.assertEqual(cheapest_route("GRZ", "LNZ", hazardous=True)[1], ["GRZ", "VIE", "LNZ"])

    def test_gives_up_after_the_last_attempt(self):
        def unreachable():
            raise ConnectionError

        with self.assertRaises(GaveUp):
            call_with_retry(unreachable, sleep=lambda seconds: None)


if __name__ == "__main__":
    unittest.main()
