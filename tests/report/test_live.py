"""The page of a run that goes on."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

import pytest

from imglab.report.live import LiveReport
from tests.report.pages import data_of


class TestLive:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch):
        monkeypatch.setattr("imglab.report.live.PATIENCE", 0.0)

    def fetch(self, url, **headers):
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.read().decode()

    def test_follows_a_run(self, copy):
        run = copy("replace")
        last = (run / "generation_002").rename(run.parent / "later")
        with LiveReport(run) as live:
            html = self.fetch(live.url)
            assert data_of(html)["last"] == 1
            before = json.loads(self.fetch(live.url + "state"))
            assert before["state"] == data_of(html)["live"]
            last.rename(run / "generation_002")
            after = json.loads(self.fetch(live.url + "state"))
            assert after["state"] != before["state"]
            assert data_of(self.fetch(live.url))["last"] == 2

    def test_before_the_first_generation(self, tmp_path):
        with LiveReport(tmp_path) as live:
            assert "No generation is finished yet" in self.fetch(live.url)

    def test_before_it_the_look_at_a_fit_that_goes_on(self, tmp_path):
        (tmp_path / "preview.png").write_bytes(b"a picture")
        with LiveReport(tmp_path) as live:
            assert f"base64,{base64.b64encode(b'a picture').decode()}" in self.fetch(live.url)

    def test_answers_to_this_machine_only(self, finished_runs):
        with LiveReport(finished_runs["replace"]) as live:
            assert live.url.startswith("http://127.0.0.1:")
            for path, headers, code in (
                ("", {"Host": "evil.example"}, 403),
                ("config.yaml", {}, 404),
                ("../../etc/passwd", {}, 404),
            ):
                with pytest.raises(urllib.error.HTTPError) as refused:
                    self.fetch(live.url + path, **headers)
                assert refused.value.code == code
