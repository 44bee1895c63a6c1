"""The words of the encyclopaedia: syllables of names, and the values that facts can have."""

from __future__ import annotations

from collections.abc import Mapping

OPENINGS = ("b", "br", "d", "dr", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v")
VOWELS = ("a", "e", "i", "o", "u")
MIDDLES = ("l", "ld", "lm", "m", "n", "nd", "r", "rn", "s", "st", "t", "v")
PLACE_ENDS = ("berg", "burn", "dal", "ford", "gate", "ham", "mouth", "ora", "stead", "wick")
BUILDING_ENDS = ("ach", "ane", "ell", "esk", "ile", "ock", "orn", "und")
ANIMAL_ENDS = ("ak", "el", "ick", "ip", "ok", "ol", "ow", "ut")
FIRST_ENDS = ("a", "an", "e", "en", "i", "in", "o", "us")
LAST_ENDS = ("aker", "ert", "ini", "man", "os", "sen", "ski", "vik")

PLACE_ADJECTIVES = ("Great", "Little", "Lower", "New", "North", "Old", "Port", "Upper")
BUILDING_TYPES = ("Abbey", "Bridge", "Castle", "Chapel", "Hall", "Mill", "Palace", "Tower")
ANIMAL_ADJECTIVES = (
    *("crested", "dwarf", "golden", "grey", "horned", "spotted", "striped", "white"),
)

REGIONS = (*("Alvenia", "Brevia", "Corland", "Dunmere", "Estria", "Falland", "Norvale", "Vestria"),)
YEARS = tuple(str(year) for year in range(1100, 1500, 10))
BIRTHS = tuple(str(year) for year in range(1600, 1760, 5))
DEATHS = tuple(str(year) for year in range(1761, 1920, 5))

VALUES: Mapping[str, tuple[str, ...]] = {
    # Places
    "type": (
        *("city", "fishing village", "fortress town", "hamlet", "market town", "mining town"),
        *("port", "spa town"),
    ),
    "region": REGIONS,
    "founded": YEARS,
    "river": ("Arl", "Bren", "Isk", "Lume", "Nar", "Ond", "Ruhn", "Sarn", "Tavel", "Uze"),
    "product": (
        *("bells", "books", "carpets", "cheese", "clocks", "glass", "honey", "knives", "lace"),
        *("paper", "pottery", "salt", "silk", "toys", "violins", "wine"),
    ),
    "population": tuple(str(count) for count in range(400, 8000, 300)),
    "dish": (
        *("apple cake", "bean soup", "eel soup", "goat cheese", "lamb stew", "nut bread"),
        *("onion pie", "plum pudding"),
    ),
    "month": ("April", "May", "June", "July", "August", "September", "October"),
    # Buildings
    "style": (
        *("Baroque", "Byzantine", "fortified", "Gothic", "Norman", "Renaissance", "Romanesque"),
        *("ruined",),
    ),
    "built": YEARS,
    "material": (
        *("basalt", "brick", "flint", "granite", "limestone", "marble", "oak", "sandstone"),
        *("slate", "tuff"),
    ),
    "height": tuple(str(metres) for metres in range(9, 88, 3)),
    "use": (
        *("tavern", "concert hall", "hospital", "hotel", "library", "museum", "prison", "school"),
        *("theatre", "town hall"),
    ),
    "treasure": ("altar", "carillon", "crypt", "fresco", "mosaic", "organ", "sundial", "tapestry"),
    "cause": ("fire", "flood", "landslide", "quake", "siege", "storm"),
    "door": ("black", "blue", "bronze", "copper", "green", "red", "yellow"),
    # People
    "profession": (
        *("botanist", "composer", "voyager", "geologist", "historian", "painter", "physician"),
        *("poet", "sculptor", "watchmaker"),
    ),
    "born": BIRTHS,
    "died": DEATHS,
    "topic": (
        *("bees", "bridges", "chess", "comets", "dreams", "glaciers", "gravity", "medicine"),
        *("music", "navigation", "opera", "roses", "ships", "tides", "trade", "volcanoes"),
    ),
    "field": (
        *("anatomy", "astronomy", "chemistry", "geometry", "grammar", "law", "logic", "optics"),
        *("philosophy", "rhetoric"),
    ),
    "instrument": ("cello", "clarinet", "flute", "guitar", "harp", "lute", "oboe", "trumpet"),
    "medal": ("amber", "bronze", "crystal", "gold", "ivory", "laurel", "silver"),
    # Animals
    "class": ("bat", "beetle", "bird", "fish", "frog", "lizard", "moth", "rodent", "snail"),
    "habitat": (
        *("birch forests", "caves", "deserts", "dry meadows", "high mountains", "lakes"),
        *("pine forests", "rocky coasts", "salt marshes", "swamps"),
    ),
    "food": (
        *("algae", "ants", "bark", "berries", "eggs", "grass", "leaves", "mosses", "mushrooms"),
        *("nectar", "seeds", "shrimps", "spiders", "worms"),
    ),
    "time": ("dawn", "dusk", "midday", "night"),
    "length": tuple(str(centimetres) for centimetres in range(4, 80, 4)),
    "age": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"),
    "range": REGIONS,
    "threat": ("drainage", "drought", "fishing", "logging", "mining", "pollution", "tourism"),
    "sound": ("bell", "cough", "drum", "laugh", "rattle", "whistle"),
}
"""What a fact can say, by the name of the fact. Facts that name another thing stand in `grammar`:
their values are things. The words are of this lab."""
