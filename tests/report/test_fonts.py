"""Names of classes in figures, whatever their script, and figures whatever matplotlib is told."""

from __future__ import annotations

import warnings

import matplotlib
from matplotlib.figure import Figure

from imglab.report import fonts
from imglab.report.figures import label_lines, png, svg
from imglab.report.fonts import DEFAULT, can_be_drawn, legible
from imglab.solvable.plots import own_style

NO_LETTER = "\U000118a0"
"""A letter of Warang Citi, for which no machine has a font."""


def labelled(name: str) -> Figure:
    figure = Figure()
    label_lines(figure.add_subplot(), [(name, 2, (0, 0.5))], height=100)
    return figure


def test_a_name_that_no_font_has_becomes_its_number():
    assert legible("été ß я", 1) == "été ß я"
    assert can_be_drawn("cat\tdog")
    assert legible(NO_LETTER, 3) == "no. 3"
    assert [text.get_text() for text in labelled(NO_LETTER).axes[0].texts] == [" no. 3"]


def test_no_text_of_a_figure_lacks_its_letters():
    figure = labelled("cat")
    figure.axes[0].set_title(f"of {NO_LETTER}", parse_math=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png(figure)
    assert figure.axes[0].get_title() == "of \\U000118a0"


def test_a_font_that_has_the_letter_is_taken(monkeypatch):
    monkeypatch.setattr(fonts, "_family", {"я": "Other", "a": DEFAULT}.get)
    figure = labelled("яa")
    fonts.fit_fonts(figure)
    (text,) = figure.axes[0].texts
    assert text.get_fontfamily() == [DEFAULT, "Other"]


def test_figures_are_the_same_whatever_the_settings_of_the_user_are():
    expected = svg(labelled("cat"))
    with matplotlib.rc_context({"text.usetex": True, "font.size": 30, "axes.facecolor": "red"}):
        with own_style():
            figure = labelled("cat")
        assert svg(figure) == expected
