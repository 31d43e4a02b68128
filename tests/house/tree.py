"""What the tests of the rules share."""

import shutil
import tempfile
import unittest
from pathlib import Path


class TreeTest(unittest.TestCase):
    """A folder with planted files."""

    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="house_test_")).resolve()
        self.addCleanup(shutil.rmtree, self.root)

    def plant(self, files: dict[str, str]):
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
