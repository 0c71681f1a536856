"""The package's description: README.md with links that lead somewhere from an index, too. The rest is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

HOME = "https://github.com/LDCTDenoise/SlicerLDCTDenoise"
RAW = HOME.replace("https://github.com", "https://raw.githubusercontent.com") + "/main/"

text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
text = re.sub(r"(!\[[^]]*\]\()(?!\w+:|#)", rf"\1{RAW}", text)  # a picture
text = re.sub(r"((?<!!)\[[^]]*\]\()(?!\w+:|#)", rf"\1{HOME}/blob/main/", text)
setup(long_description=text, long_description_content_type="text/markdown")
