"""What the starter of an unpacking worker hears from it."""

from __future__ import annotations

import os

from utsuwa.snapshot.unpack import Unpacking


def test_a_second_call_for_one_report_does_not_wait_for_the_next() -> None:
    reports, worker = os.pipe()
    os.set_blocking(reports, False)
    unpacking = Unpacking.__new__(Unpacking)
    unpacking._reports, unpacking._text, unpacking._ended, unpacking.read = reports, b"", False, 0
    os.write(worker, b'{"read": 5}\n')
    assert unpacking.take() is False
    assert unpacking.take() is False
    assert unpacking.read == 5
    os.close(worker)
    os.close(reports)
