"""The sheet that a person reads: prompts and every generation's continuation, safe to print."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from imglab.safe_text import printable
from imglab.text.render import COLUMNS, SEPARATOR, WIDTH, mark_repeats, wrap_cells, write_sheet


class Letters:
    """A tokenizer whose token n is the n-th sign."""

    def decode(self, tokens):
        return "".join(chr(number) for number in tokens.tolist())


def tokens(*texts):
    longest = max(map(len, texts))
    return torch.tensor([[ord(sign) for sign in text.ljust(longest)] for text in texts])


def test_repeated_words_are_marked():
    assert mark_repeats("a b c d a b c e") == "a b c d [a b c] e"
    assert mark_repeats("x x x x x") == "x [x x x x]"
    assert mark_repeats("a b a b a") == "a b [a b a]"
    assert mark_repeats("one two three") == "one two three"
    assert mark_repeats("") == ""


def test_generations_stand_beside_each_other():
    prompts = tokens("to be", "or not")
    shown = [(prompts, tokens(f"first {g}", f"second {g}")) for g in range(3)]
    lines = write_sheet(shown, Letters()).splitlines()
    assert any(line.startswith("1. to be ...") for line in lines)
    head = next(line for line in lines if line.startswith("generation 0"))
    row = next(line for line in lines if line.startswith("first 0"))
    for g in range(3):
        assert row[head.index(f"generation {g}") :].startswith(f"first {g}")


def test_of_many_generations_the_first_and_the_last_are_there():
    shown = [(None, tokens(f"text {g}")) for g in range(40)]
    sheet = write_sheet(shown, Letters())
    assert sheet.count("generation ") == COLUMNS
    assert "text 0 " in sheet
    assert "text 39" in sheet


def test_documents_are_parted_by_a_sign_that_the_first_line_explains():
    sheet = write_sheet([(tokens("a<end>b"), tokens("one. <end> Two.<end>"))], Letters(), "<end>")
    assert "¶ ends a document" in sheet.splitlines()[0]
    assert "1. a ¶ b ..." in sheet
    assert "one. ¶ Two. ¶" in sheet
    assert "<end>" not in sheet


def test_what_drives_a_terminal_is_escaped():
    sheet = write_sheet(
        [(tokens("\x1b[31m"), tokens("\x1b]0;title\x07 \u202eabc \x9b1m \u2028"))], Letters()
    )
    assert "\x1b" not in sheet
    assert "\\x1b]0;title\\x07 \\u202eabc \\x9b1m" in sheet
    assert all(sign.isprintable() or sign == "\n" for sign in sheet)
    assert printable("tab\tand\nline") == "tab\\tand\nline"


def test_columns_of_wide_characters_stand_under_their_heads():
    shown = [(None, tokens("天地人山水" * 12 + " 한국어 e\u0301 👍🏽"))] * 2
    lines = write_sheet(shown, Letters()).splitlines()
    head = next(line for line in lines if line.startswith("generation 0"))
    wide = [line for line in lines if "天" in line]
    assert len(wide) > 1
    for line in wide:
        first, second = line.split(SEPARATOR, 1)
        assert cell_len(line) <= 2 * WIDTH + len(SEPARATOR)
        assert first.strip() == second.strip()
        assert cell_len(line[: -len(second.rstrip())]) == head.index("generation 1")


@settings(max_examples=50)
@given(st.text("ab 天地é\u0301한👍\u0e31", max_size=80), st.integers(4, 12))
def test_lines_are_no_wider_than_asked_for_and_lose_nothing(text, width):
    lines = wrap_cells(text, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_joiners_of_words_are_shown_as_they_are():
    assert printable("می\u200cخواهم") == "می\u200cخواهم"  # noqa: RUF001
    assert printable("a\u200eb\ufeff") == "a\\u200eb\\ufeff"
