"""Labels: where they are written, and that nothing inside can have them written elsewhere."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.integration.init.conftest import PROC, prelude, shell
from tests.needs import needs
from utsuwa.init.failure import OpFailed
from utsuwa.plan import ops

pytestmark = needs("root")

LABEL = ops.Label(("exec",), "utsuwa-test-no-such-label")
# This host may have no module that takes labels (EINVAL), or one that knows none of that name (ENOENT, EINVAL).
REFUSED = (errno.EINVAL, errno.ENOENT, errno.EACCES)


def test_a_label_that_nobody_knows_is_an_error_with_the_file_in_it(run, root):
    with pytest.raises(OpFailed, match="write /proc/thread-self/attr/exec: ") as raised:
        run(*prelude(root, PROC), ops.Pivot(), LABEL, shell("exit 0"))
    assert raised.value.errno in REFUSED


def test_the_first_file_that_is_there_is_taken(run, root):
    label = ops.Label(("no-such-module/exec", "exec"), LABEL.value)
    with pytest.raises(OpFailed, match="write /proc/thread-self/attr/exec: "):
        run(*prelude(root, PROC), ops.Pivot(), label, shell("exit 0"))


def test_an_attribute_of_a_directory_stays_inside(run, root, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "away").symlink_to(outside)
    with pytest.raises(OpFailed):
        run(*prelude(root), ops.Xattr("/away", "trusted.utsuwa", "value"), ops.Pivot(), shell("exit 0"))
    assert os.listxattr(outside) == []
    run(*prelude(root), ops.Xattr("/tmp", "trusted.utsuwa", "value"), ops.Pivot(), shell("exit 0"))
    assert os.getxattr(root / "tmp", "trusted.utsuwa") == b"value"
