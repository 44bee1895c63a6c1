"""The encyclopaedia as a modality: text of which everybody can say what is true."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from imglab.measures import Measures
from imglab.samples import Samples
from imglab.text.encyclopaedia.metrics import FactCheck
from imglab.text.encyclopaedia.world import World
from imglab.text.modality import TextModality
from imglab.text.settings import TextSettings
from imglab.text.source_settings import EncyclopaediaSource


class EncyclopaediaModality(TextModality):
    """Text of the encyclopaedia; what a generation states is compared with the truth."""

    headline: ClassVar[tuple[str, ...]] = (
        "facts_right",
        "facts_alive",
        "invented_entities",
        "grammar_kept",
        "entities_alive",
        "fact_types_alive",
        *TextModality.headline,
    )

    @cached_property
    def _facts(self) -> FactCheck:
        source = self._settings.source
        assert isinstance(source, EncyclopaediaSource)
        return FactCheck(World.of(source), self.tokenizer, self._text.train, self._text.test)

    def sample_metrics(self, samples: Samples) -> Measures:
        """Measure the text itself, and what it states; docs/metrics.md defines each metric."""
        return Measures.joined([super().sample_metrics(samples), self._facts.metrics(samples.data)])


def text_modality(settings: TextSettings) -> TextModality:
    """Return the text modality of a section of a config."""
    if isinstance(settings.source, EncyclopaediaSource):
        return EncyclopaediaModality(settings)
    return TextModality(settings)
