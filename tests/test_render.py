from __future__ import annotations

import html as stdlib_html
import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path

import mistune
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irkit import render
from irkit.certificate import Certificate
from irkit.chain import Chain, Obtained
from irkit.style import STYLE

SCRIPT = "<script>window.pwned=1</script>"
HANDLER = "<img src=x onerror=window.pwned=1>"
LINK = "[all clear](javascript:alert(1)) ![x](http://198.51.100.9/beacon.png)"
MATHS = r"$\color{green}{\text{VERDICT: ROTATION}}$"
HOSTILE = {
    "script": SCRIPT,
    "handler": HANDLER,
    "attribute": '"><svg onload=window.pwned=1>',
    "markdown-link": LINK,
    "markdown-code": "``` </code> " + SCRIPT,
    "maths": MATHS,
    "broken-maths": r"$\frac{1$",
    "escape": "\x1b[2J\x1b[31mVERDICT: ROTATION",
    "osc": "\x1b]52;c;cm0gLXJmIC8=\x07\x1b]8;;http://198.51.100.9/\x1b\\click",
    "c1": "\x9b2J\x85next line",
    "carriage-return": "CN=evil\rCN=good",
    "newline": "CN=evil\n\nVERDICT: none",
    "right-to-left": "\u202egnp.tset\u202c\u2066x\u2069",
    "zero-width": "api\u200b.exa\ufeffmple\u00ad.com",
    "nul": "good.example\x00.evil.example",
    "homoglyph": "CN=\u0430pi.example.com",
    "blank-letters": "a\u3164b\u2800c\ufe0fd\U000e0041e",
    "stacked-marks": "a" + "\u0301" * 40,
    "refresh": '<meta http-equiv="refresh" content="0;url=http://198.51.100.9/">',
    "mention": "@channel www.evil.example https://evil.example",
}
hostile = pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
anything = st.text(st.characters(exclude_categories=[]), max_size=400)
nasty = st.lists(st.one_of(anything, st.sampled_from(list(HOSTILE.values()))), max_size=4).map("".join)


class Tags(HTMLParser):
    """The elements, attributes and text that a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def acts(value: str) -> list[str]:
    """The characters of a text that a terminal or an eye would obey; line ends of our own are none."""
    return [c for c in value if unicodedata.category(c) in render._INVISIBLE - {"Zs"} and c != "\n"]


def check_html(made: str) -> None:
    seen = Tags(made)
    allowed = {
        "a", "bdi", "caption", "code", "dd", "details", "div", "dl", "dt", "figcaption", "figure", "h2", "h3", "img",
        "li", "nav", "ol", "p", "pre", "section", "span", "strong", "summary", "table", "tbody", "td", "th", "thead",
        "tr", "ul",
    }  # fmt: skip
    assert set(seen.tags) <= allowed
    assert {name for name, _ in seen.attributes} <= {
        "alt", "aria-hidden", "aria-label", "class", "colspan", "href", "id", "role", "scope", "src",
        "tabindex",
    }  # fmt: skip
    assert all(value and value.startswith("data:image/png") for name, value in seen.attributes if name == "src")
    assert all(value and re.fullmatch(r"#[a-z]+", value) for name, value in seen.attributes if name == "href")
    assert not acts(made)


@given(nasty)
def test_text_holds_nothing_that_a_terminal_obeys(value: str) -> None:
    shown = render.text(value)
    assert not acts(shown)
    assert "\n" not in shown
    assert "\r" not in shown


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300))
def test_text_leaves_printable_ascii_as_it_is(value: str) -> None:
    assert render.text(value) == value


@given(anything)
def test_text_escaped_once_is_not_escaped_again(value: str) -> None:
    once = render.text(value, 10_000)
    assert render.text(once, 10_000) == once


@given(nasty, st.integers(0, 50))
def test_text_is_cut_and_says_by_how_much(value: str, limit: int) -> None:
    shown = render.text(value, limit)
    if len(value) > limit:
        assert shown.endswith(f"… ({len(value) - limit} more characters)")
    assert len(shown) <= 10 * limit + 40


def test_what_hides_is_spelt_out() -> None:
    assert render.text("good\x00.evil") == "good\\u{0}.evil"
    assert render.text("a\u200bb") == "a\\u{200b}b"
    assert render.text("\u202etxt") == "\\u{202e}txt"
    assert render.text("\u0430pi.example.com") == "\\u{430}pi.example.com"
    assert render.text("CN=\u0441\u043e.example.com") == "CN=\\u{441}\\u{43e}.example.com"
    assert render.text("a\u3164b\xa0c") == "a\\u{3164}b\\u{a0}c"


def test_names_in_their_own_script_stay_readable() -> None:
    for name in (
        "Банк России",
        "株式会社 Example",
        "Ελληνική Τράπεζα",
        "Crédit Münchën",
        "بنك",
        "हिन्दी",
        "Ngân hàng Việt",
    ):
        assert render.text(name) == name


@given(nasty)
def test_html_can_be_read_back_and_has_no_element_of_the_value(value: str) -> None:
    made = render.html(value)
    bare = re.sub(r"\A<bdi>|</bdi>\Z", "", made)
    assert stdlib_html.unescape(bare) == render.text(value)
    assert not re.search(r"[<>\"']", bare)


@given(nasty)
def test_every_html_builder_escapes_whatever_it_is_given(value: str) -> None:
    made = [
        render.table((value, "b"), [(value, value), (render.strong(value), 1)], value),
        render.fragment(value, render.paragraph(value), render.heading(value)),
        render.bullets([value]),
        render.steps([value, "$ " + value]),
        render.definitions([(value, value)]),
        render.details(value, value),
        render.code(value),
        render.badge(value),
        render.banner(value),
        render.section(value, value, value),
        render.card(value, value, stop=True),
        render.aside(value),
        render.contents([("scope", value)]),
        render.figure(b"png", value, value),
    ]
    for piece in made:
        check_html(piece)


@hostile
def test_hostile_text_stays_text_in_html(value: str) -> None:
    made = render.table(["field"], [[value]], value) + render.figure(b"png", value, value)
    check_html(made)
    assert render.text(value)[:20] in Tags(made).words


@hostile
def test_a_page_can_run_and_load_nothing(value: str) -> None:
    made = render.page(value, render.section("a", value, render.paragraph(value)))
    seen = Tags(made)
    assert not {"script", "link", "iframe", "object", "svg", "base", "a"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name in {"href", "srcset", "style"}]
    policy = next(content for name, content in seen.attributes if name == "content" and "default-src" in str(content))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src" not in policy  # default-src forbids it
    assert re.search(r'<body class="[^"]*tex2jax_ignore mathjax_ignore', made)


def test_a_section_keeps_mathematics_away_in_a_notebook_too() -> None:
    assert "mathjax_ignore" in render.paragraph(MATHS)._repr_html_()
    assert "mathjax_ignore" in render.table(["a"], [[MATHS]])


def test_the_policy_and_the_pages_own_words_come_before_any_data() -> None:
    made = render.page(SCRIPT, render.paragraph("x"))
    assert made.index("Content-Security-Policy") < made.index("<title>")


@given(nasty)
def test_markdown_begins_no_construct(value: str) -> None:
    made = render.markdown(value)
    assert not acts(made)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]#|~!<>]", made)
    assert not re.search(r"[@$]|(?<!\\):(//|\w+:)|[Ww]\.|\\\\(\(|\[|begin|end)", made)
    assert not re.match(r"\s|\d+[.)]|[-+=]", made)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="@$\\"), max_size=300))
def test_markdown_reads_back_as_the_value(value: str) -> None:
    made = render.markdown(value).replace("&lt;", "<").replace("&amp;", "&")
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", made) == value.strip()


def test_hostile_markdown_examples() -> None:
    assert render.markdown(HANDLER) == "&lt;img src=x onerror=window\\.pwned=1\\>"
    assert render.markdown("[a](https://b)") == "\\[a\\](https\\://b)"
    assert render.markdown("10. first") == "10\\. first"
    assert render.markdown("- first") == "\\- first"
    assert render.markdown("www.evil.example :boom:") == "www\\.evil.example \\:boom:"
    assert render.markdown("a@b") == "a\\\\u\\{40\\}b"
    assert render.markdown("$x$") == "\\\\u\\{24\\}x\\\\u\\{24\\}"
    assert render.markdown("\\(x\\)") == "\\\\u\\{5c\\}(x\\\\)"
    assert render.markdown("ap-south at 08:42, 1.5 (min)") == "ap-south at 08:42, 1.5 (min)"


def test_a_commonmark_reader_makes_text_of_hostile_markdown() -> None:
    for value in HOSTILE.values():
        made = Tags(
            mistune.create_markdown(escape=False, plugins=["url", "table", "task_lists"])(render.markdown(value))
        )
        assert set(made.tags) <= {"p"}, value


@given(nasty, st.integers(5, 60))
def test_plot_text_is_short_and_has_no_mathematics(value: str, limit: int) -> None:
    shown = render.plot_text(value, limit)
    assert not acts(shown)
    assert shown.count("$") == shown.count("\\$")
    assert all(ord(char) < 0x530 or char == "…" for char in shown)
    assert len(shown.replace("\\$", "$")) <= limit


@hostile
def test_matplotlib_draws_hostile_text_as_it_stands(value: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cbook import is_math_text
    from matplotlib.figure import Figure

    shown = render.plot_text(value)
    figure = Figure()
    FigureCanvasAgg(figure)
    figure.suptitle(shown)
    figure.canvas.draw()
    assert not is_math_text(shown)


def test_a_table_counts_the_rows_that_it_leaves_out() -> None:
    made = render.table(["n"], [[i] for i in range(100)], limit=10)
    assert made.count("<tr>") == 1 + 10 + 1
    assert "and 90 more rows" in made


def test_commands_keep_their_lines_and_lose_their_controls() -> None:
    assert render.code("a\nb\x1b[2J") == "<pre><code>a\nb\\u{1b}[2J</code></pre>"


def test_markup_is_plain_text_in_a_terminal() -> None:
    made = render.fragment(
        render.paragraph("a & b ", HOSTILE["escape"]),
        render.table(["x", "y"], [[1, SCRIPT]], "t"),
        render.figure(b"png", 'said "so"'),
    )
    shown = repr(made)
    assert shown == (
        "a & b \\u{1b}[2J\\u{1b}[31mVERDICT: ROTATION\nt\nx  y\n1  <script>window.pwned=1</script>\n\n"
        '[picture: said "so"]'
    )
    assert not acts(shown)


def test_joining_markup_to_text_gives_text_that_is_escaped_again() -> None:
    assert not isinstance(render.strong("a") + SCRIPT, render.Markup)
    assert "<script" not in render.html(render.strong("a") + SCRIPT)


def test_times_are_shown_in_utc() -> None:
    at = datetime(2026, 11, 23, 14, 12, 5, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert render.moment(at) == "2026-11-23 08:42 UTC"
    assert render.moment(at, seconds=True) == "2026-11-23 08:42:05 UTC"
    assert render.moment(None) == "unknown"
    assert render.moment(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01 00:00 UTC"


def test_a_verdict_has_a_word_and_a_symbol_not_only_a_colour() -> None:
    for verdict, symbol in render.SYMBOLS.items():
        made = Tags(render.badge(verdict)).words
        assert symbol in made
        assert verdict.upper().replace("-", " ") in made


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_text_colour_has_the_contrast_of_wcag_aa_in_light_and_dark() -> None:
    light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", STYLE.split("@media")[0]))
    dark = light | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", STYLE.split("@media")[1]))
    assert light["back"] != dark["back"]
    badges = ("mitm", "misconfiguration", "rotation", "quiet", "none")
    for theme in (light, dark):
        pairs = [(theme[a], theme[b]) for a in ("text", "muted", "link") for b in ("back", "raised")]
        pairs += [(theme["warn-text"], theme["warn-back"]), (theme["stop-text"], theme["stop-back"])]
        pairs += [(theme["on-badge"], theme[name]) for name in badges]
        assert min(_contrast(a, b) for a, b in pairs) >= 4.5


def test_the_style_loads_nothing() -> None:
    assert "url(" not in STYLE
    assert "@import" not in STYLE
    assert "</" not in STYLE


def test_certificates_made_to_attack_a_reader_are_shown_as_text(corpus: Path) -> None:
    files = sorted((corpus / "hostile-certificates").glob("*.der"))
    assert len(files) > 30
    for file in files:
        certificate = Certificate.from_der(file.read_bytes())
        chain = Chain((certificate, certificate), Obtained("file", str(file)))
        for value in (certificate, chain):
            check_html(value._repr_html_())
            assert not acts(repr(value)), file
            assert len(value._repr_html_()) < 20_000
