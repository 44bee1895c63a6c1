"""Requests of strangers to the live page."""

from __future__ import annotations

import pytest

from imglab.report.live import LiveReport
from tests.hostile.files import ask


class TestLive:
    @pytest.fixture
    def live(self, finished_runs):
        with LiveReport(finished_runs["vectors"]) as server:
            yield server

    def test_it_listens_on_this_machine_alone(self, live):
        assert live._server.socket.getsockname()[0] == "127.0.0.1"

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "127.0.0.1",
            "localhost",
            "0.0.0.0",
            "127.0.0.1:1",
            "[::1]",
            "",
            "x" * 999,
        ],
    )
    def test_another_host_is_refused(self, host, live):
        answer = ask(live, f"GET / HTTP/1.1\r\nConnection: close\r\nHost: {host}")
        assert " 403 " in answer.splitlines()[0]
        assert "generation" not in answer

    @pytest.mark.parametrize(
        "method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "BREW", "get"]
    )
    def test_only_get_is_answered(self, method, live, capfd):
        assert " 501 " in ask(live, f"{method} / HTTP/1.0\r\nHost: {{host}}").splitlines()[0]
        assert "Traceback" not in capfd.readouterr().err

    @pytest.mark.parametrize(
        "path",
        [
            *(
                "/../../etc/passwd",
                "/%2e%2e/%2e%2e/etc/passwd",
                "//etc/passwd",
                "/..\\..\\etc\\passwd",
                "/\x00",
                "/a%00b",
            ),
            *(
                "/config.yaml",
                "/generation_000/metrics.json",
                "/./",
                "/?x",
                "/state/",
                "/state?x",
                "http://evil/",
                "*",
                "\\",
            ),
            *("/" + "x" * 60_000, "/\x1b[31m", "/<script>", "/\udcff"),
        ],
    )
    def test_there_is_nothing_but_the_page(self, path, live, capfd):
        answer = ask(live, f"GET {path} HTTP/1.0\r\nHost: {{host}}")
        assert answer.split()[1] in ("400", "404", "414")
        assert "root:" not in answer
        assert "<script>" not in answer
        assert "Traceback" not in capfd.readouterr().err

    @pytest.mark.parametrize(
        "request_",
        [
            *(
                "",
                "GET",
                "GET /",
                "GET / HTTP/9.9",
                "GET / HTTP/1.x",
                "\x16\x03\x01 / HTTP/1.1",
                "A" * 70_000,
                "\udcff\udcfe",
            ),
            *(
                "GET / HTTP/1.0\r\n" + "a: b\r\n" * 300,
                "GET / HTTP/1.0\r\nHost" + "x" * 70_000,
                "GET / HTTP/1.0\r\n:\r\n",
            ),
            "GET / HTTP/1.0\r\nHost: {host}\r\nHost: evil.example\r\nContent-Length: -1",
        ],
    )
    def test_malformed_requests(self, request_, live, capfd):
        ask(live, request_)
        assert " 200 " in ask(live, "GET / HTTP/1.0\r\nHost: {host}").splitlines()[0], "it goes on"
        assert "Traceback" not in capfd.readouterr().err

    @pytest.mark.parametrize(
        "file", ["chains.json", "sweep.json", "config.yaml", "generation_000/metrics.json"]
    )
    def test_a_damaged_run(self, file, copy, capfd):
        run = copy("vectors")
        (run / file).write_text('{"chains": ["../x"], "arms": ["../x"], "seeds": [0]}')
        with LiveReport(run) as live:
            for path in ("/", "/state"):
                assert (
                    " 200 " in ask(live, f"GET {path} HTTP/1.0\r\nHost: {{host}}").splitlines()[0]
                )
        assert "Traceback" not in capfd.readouterr().err

    def test_the_page_may_load_nothing(self, live):
        answer = ask(live, "GET / HTTP/1.0\r\nHost: {host}")
        assert "default-src 'none'" in answer
        assert "X-Content-Type-Options: nosniff" in answer
