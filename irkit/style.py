"""How the report and its sections look: light, dark and printed, with system fonts and nothing to load.

Every pair of text and background reaches a contrast of 4.5 (WCAG 2.2, 1.4.3); a test works it out from the colours.
"""

from __future__ import annotations

__all__ = ["STYLE"]

# Scoped to .irkit-view: the report's body, or one section in a notebook (which is also an .irkit-cell).
_RULES = """
.irkit-view {
  --back: #ffffff; --text: #1b1e22; --muted: #4b525b; --line: #c3c9d1; --raised: #f3f5f7; --link: #0b57d0;
  --warn-back: #fff3d6; --warn-text: #4a3200; --stop-back: #fdecec; --stop-text: #7a0914;
  --mitm: #96101b; --misconfiguration: #7d4300; --rotation: #0d4f8b; --quiet: #474e57; --none: #17592f;
  --on-badge: #ffffff;
  color: var(--text); background: var(--back); margin: 0; overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
}
@media screen and (prefers-color-scheme: dark) {
  .irkit-view {
    --back: #15181b; --text: #e7e9ec; --muted: #abb3bd; --line: #414952; --raised: #1f2428; --link: #8ab4f8;
    --warn-back: #3d2e0a; --warn-text: #ffe3a3; --stop-back: #3c1518; --stop-text: #ffc9cc;
  }
  .irkit-view figure img { filter: invert(.91) hue-rotate(180deg); mix-blend-mode: lighten; }
}
.irkit-view.irkit-cell { font-size: 14px; padding: 2px 8px; }
.irkit-view main { max-width: 76rem; margin: 0 auto; padding: 1rem 1.25rem 4rem; }
.irkit-view :is(h1, h2, h3) { font-weight: 700; line-height: 1.25; text-wrap: balance; }
.irkit-view h1 { font-size: 1.7rem; margin: .6rem 0 .4rem; }
.irkit-view h2 { font-size: 1.35rem; margin: 2.4rem 0 .5rem; padding-top: .7rem; border-top: 2px solid var(--line); }
.irkit-view h3 { font-size: 1.08em; margin: 1.3rem 0 .3rem; }
.irkit-view p { margin: .4rem 0 .6rem; max-width: 58rem; }
.irkit-view :is(p.muted, nav p) { max-width: none; }
.irkit-view a { color: var(--link); }
.irkit-view :is(.muted, figcaption) { color: var(--muted); }
.irkit-view .badge {
  display: inline-block; padding: .1em .6em; border-radius: .3em; font-weight: 700; letter-spacing: .02em;
  color: var(--on-badge); background: var(--quiet); white-space: nowrap; print-color-adjust: exact;
}
.irkit-view .badge.mitm { background: var(--mitm); }
.irkit-view .badge.misconfiguration { background: var(--misconfiguration); }
.irkit-view .badge.rotation { background: var(--rotation); }
.irkit-view .badge.none { background: var(--none); }
.irkit-view .banner {
  border: 3px solid currentcolor; border-radius: .4rem; padding: .7rem 1rem; margin: .6rem 0 1rem; font-weight: 600;
  color: var(--warn-text); background: var(--warn-back);
}
.irkit-view .card {
  border: 1px solid var(--line); border-left: .45rem solid var(--text); border-radius: .4rem;
  padding: .3rem 1rem .6rem; margin: .8rem 0; background: var(--raised);
}
.irkit-view .cards { display: flex; flex-wrap: wrap; align-items: flex-start; gap: .8rem; margin: .8rem 0; }
.irkit-view .cards .card { flex: 3 1 32rem; min-width: min(100%, 20rem); box-sizing: border-box; margin: 0; }
.irkit-view .cards .card.stop { flex: 2 1 20rem; }
.irkit-view .card.stop { color: var(--stop-text); background: var(--stop-back); border-color: currentcolor; }
.irkit-view .card h2 { border: 0; margin: .4rem 0 .1rem; padding: 0; font-size: 1.2rem; }
.irkit-view .card p { margin: .3rem 0; }
.irkit-view main > p.muted:first-child { font-size: .92em; }
.irkit-view .wide { overflow-x: auto; margin: .7rem 0 1rem; }
.irkit-view table.irkit {
  border-collapse: collapse; font-size: .92em; font-variant-numeric: tabular-nums; margin: 0;
  color: var(--text); background: var(--back);
}
.irkit-view table.irkit caption { text-align: left; font-weight: 600; padding: .2rem 0 .35rem; color: var(--text); }
.irkit-view table.irkit :is(th, td) {
  border: 1px solid var(--line); padding: .3rem .55rem; text-align: left; vertical-align: top; white-space: normal;
  max-width: 32rem; overflow-wrap: normal; color: var(--text); background: var(--back);
}
.irkit-view table.irkit td.long { overflow-wrap: anywhere; min-width: 11rem; }
.irkit-view table.irkit td.short { white-space: nowrap; }
.irkit-view table.irkit th { background: var(--raised); font-weight: 600; }
.irkit-view dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .6rem 0; }
.irkit-view dt { font-weight: 600; float: none; width: auto; }
.irkit-view dd { margin: 0; float: none; width: auto; }
.irkit-view dd > p:first-child { margin-top: 0; }
.irkit-view dd ul { margin: 0; padding-left: 1.2rem; }
.irkit-view .card :is(ul, ol) { margin: .4rem 0 .5rem; padding-left: 1.6rem; }
.irkit-view li { margin: .2rem 0; max-width: 58rem; }
.irkit-view :is(code, pre) {
  font-family: ui-monospace, "Cascadia Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .92em;
}
.irkit-view pre {
  margin: .4rem 0; padding: .4rem .7rem; border: 1px solid var(--line); border-radius: .3rem;
  background: var(--raised); color: var(--text); white-space: pre-wrap; overflow-wrap: anywhere; word-break: normal;
  user-select: all;
}
.irkit-view pre code { font-size: 1em; }
.irkit-view button.copy {
  font: inherit; padding: .2rem .7rem; margin-right: .5rem; border: 1px solid var(--line); border-radius: .3rem;
  color: var(--text); background: var(--raised); cursor: pointer;
}
.irkit-view button.copy + span { margin-right: .5rem; }
.irkit-view figure { margin: 1rem 0; }
.irkit-view figure img { max-width: 100%; height: auto; display: block; }
.irkit-view figcaption { font-size: .92em; max-width: 58rem; margin-top: .3rem; }
.irkit-view details { overflow-x: clip; }
.irkit-view summary { cursor: pointer; font-weight: 600; padding: .3rem 0; }
.irkit-view :focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
@media (max-width: 40rem) {
  .irkit-view main { padding: .6rem .7rem 3rem; }
  .irkit-view dl { grid-template-columns: 1fr; gap: 0; }
  .irkit-view dd { margin-bottom: .5rem; }
  .irkit-view h1 { font-size: 1.4rem; }
  .irkit-view table.irkit :is(th, td) { min-width: 5rem; }
  .irkit-view table.irkit caption { max-width: calc(100vw - 2rem); }
  .irkit-view figure .wide img { max-width: none; width: 44rem; }
}
@media print {
  .irkit-view { font-size: 10.5pt; }
  .irkit-view main { max-width: none; padding: 0; }
  .irkit-view .wide { overflow: visible; break-inside: avoid; }
  .irkit-view table.irkit { font-size: .82em; }
  .irkit-view table.irkit td.long { min-width: 0; }
  .irkit-view table.irkit td.short { white-space: normal; }
  .irkit-view :is(pre, figure, tr, .card) { break-inside: avoid; }
  .irkit-view :is(h2, h3) { break-after: avoid; }
  .irkit-view details::details-content { content-visibility: visible; display: block; height: auto; }
}
"""

# Said twice, the class outweighs what JupyterLab says of the same elements.
STYLE = _RULES.replace(".irkit-view ", ".irkit-view.irkit-view ")
