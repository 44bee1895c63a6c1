"""What tests read from a page."""

from __future__ import annotations

import json
import re


def data_of(html):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    return json.loads(data)
