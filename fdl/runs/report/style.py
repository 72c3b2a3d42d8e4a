"""The style of the report, light and dark, on a desktop, a phone and paper; and its one small script."""

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #1c2430; --soft: #667085; --line: #e3e7ee;
  --s0: #2563c9; --s1: #d9600f; --s2: #2f8a4b; --s3: #8250c4; --good: #1f7a3d; --bad: #b3261e; --warn: #a15c00 }
@media (prefers-color-scheme: dark) { :root { --page: #10141b; --card: #181e28; --ink: #e6eaf1; --soft: #98a3b5;
  --line: #2b3442; --s0: #78a9ff; --s1: #ff9d5c; --s2: #6fcf8c; --s3: #c3a0f5; --good: #6fcf8c; --bad: #ff8a80;
  --warn: #ffc069 } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; color: var(--ink); background: var(--page);
  max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; font-variant-numeric: tabular-nums }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 0 0 .8rem } h3 { font-size: .9rem; margin: 0 0 .3rem; overflow-wrap: anywhere }
header p { margin: .4rem 0 0; color: var(--soft) }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.1rem 1.2rem;
  margin-top: 1.1rem }
.verdict { display: inline-block; margin: .7rem .5rem 0 0; padding: .2rem .75rem; border-radius: 1rem; font-weight: 600;
  color: var(--good); border: 1px solid; overflow-wrap: anywhere }
.verdict.failed { color: var(--bad) } .verdict.stopped { color: var(--warn) } .verdict.running { color: var(--s0) }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin-top: 1.1rem }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .7rem 1.1rem }
.tile b { display: block; font-size: 1.6rem; line-height: 1.25 }
.tile span, .note { color: var(--soft); font-size: .85rem }
.wide { overflow-x: auto } .wide th { white-space: nowrap }
.wide + .wide { margin-top: 1rem } .note { margin: .5rem 0 0 }
table { border-collapse: collapse } th, td { padding: .28rem .7rem; text-align: right }
th { font-weight: 500; color: var(--soft) } tr + tr { border-top: 1px solid var(--line) }
th:first-child { text-align: left; padding-left: 0 } td { white-space: nowrap }
.pairs { width: 100%; table-layout: fixed } .pairs th { width: 34%; max-width: 14rem; vertical-align: top }
.pairs td { text-align: left; white-space: normal; overflow-wrap: anywhere }
.curves { display: grid; gap: 1.1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)) }
.halves { display: grid; gap: 1.4rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)) }
.halves > * { min-width: 0 }
.beside { display: grid; gap: 1.1rem; margin-top: 1.1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)) }
.beside > section { margin-top: 0; min-width: 0 }
.panel { min-width: 0; position: relative } .panel svg { width: 100%; height: auto; display: block; overflow: visible }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft) } .grid { stroke: var(--line); fill: none }
.axis { stroke: var(--soft); fill: none } .best { stroke: var(--soft); stroke-dasharray: 3 3 }
.s0 { --c: var(--s0) } .s1 { --c: var(--s1) } .s2 { --c: var(--s2) } .s3 { --c: var(--s3) }
polyline { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round } circle, .bar { fill: var(--c) }
.key { color: var(--c); font-weight: 600; margin-right: .9rem }
.keys { font-size: .85rem } label { cursor: pointer; font-size: .85rem; color: var(--soft) }
.logarithmic { display: none } #log:checked ~ .curves .logarithmic { display: inline }
#log:checked ~ .curves .has-log .linear { display: none }
.tip { position: absolute; top: 1.6rem; right: .4rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: .1rem .5rem; font-size: .8rem; pointer-events: none }
.cursor { stroke: var(--soft) } .confusion td { text-align: center; min-width: 2.4rem; border: 2px solid var(--card);
  border-radius: 6px; background: color-mix(in srgb, var(--c) calc(var(--p) * 85%), var(--page)) }
.confusion td.deep { color: #fff } .confusion td.none { color: var(--line) } .confusion tr + tr { border: 0 }
.confusion th { padding: .2rem .4rem; max-width: 9rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  text-align: center } .confusion th:first-child { text-align: right }
.cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)) }
.cards.pictures { grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)) }
.card { border: 1px solid var(--line); border-radius: 10px; padding: .6rem .7rem; min-width: 0 }
.card img { width: 100%; display: block; border-radius: 6px; image-rendering: pixelated }
.card p { margin: 0; overflow-wrap: anywhere } .card * + .answer { margin-top: .4rem }
.words { font-size: .85rem; white-space: pre-wrap } .answer { font-size: .85rem; font-weight: 600 }
.answer.right { color: var(--good) } .answer.wrong { color: var(--bad) }
mark { background: color-mix(in srgb, var(--s1) 35%, transparent); color: inherit; border-radius: 3px }
.picture { overflow-x: auto; background: #fff; color: #222; border-radius: 8px; padding: .5rem }
.picture text { fill: currentColor }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; font-size: .82rem } pre.wide { white-space: pre }
@media (prefers-color-scheme: dark) { .confusion td.deep { color: #10141b } }
@media (max-width: 40rem) { section { padding: .9rem .8rem } h1 { font-size: 1.5rem } svg text { font-size: 14px }
  .tiles { gap: .5rem } .tile { flex: 1 1 5rem; padding: .5rem .6rem } .tile b { font-size: 1.15rem }
  .wide th { white-space: normal } .wide .confusion td { min-width: 1.5rem; padding: .2rem }
  .wide .confusion th { font-size: .7rem; padding: .1rem; white-space: nowrap }
  table:not(.pairs) :is(th, td) { padding: .25rem .35rem; font-size: .82rem } pre.wide { font-size: .7rem } }
@media print { body { background: none } section { break-inside: avoid } }
"""

# Shows the values below the pointer, in every panel at once that shares the axis.
SCRIPT = """
const panels = [...document.querySelectorAll('.panel[data-points]')].map(panel => {
  const svg = panel.querySelector('svg'), points = JSON.parse(panel.dataset.points);
  const cursor = document.createElementNS(svg.namespaceURI, 'path'), tip = document.createElement('div');
  cursor.setAttribute('class', 'cursor'); svg.append(cursor); tip.className = 'tip'; tip.hidden = true;
  panel.append(tip); return {svg, points, cursor, tip};
});
const near = (steps, step) => steps.reduce(
  (best, s, i) => Math.abs(s - step) < Math.abs(steps[best] - step) ? i : best, 0);
for (const {svg, points} of panels) {
  svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect(), {name, low, high, left, right, width} = points.axis;
    const share = ((event.clientX - box.left) / box.width * width - left) / (right - left);
    const step = low + Math.min(1, Math.max(0, share)) * (high - low);
    for (const {points: {axis, series}, cursor, tip} of panels.filter(one => one.points.axis.name === name)) {
      const shown = series.map(([split, steps, values]) => { const i = near(steps, step);
        return `${split} ${values[i]} (${name} ${steps[i]})`; });
      const x = left + (step - low) / (high - low) * (right - left);
      cursor.setAttribute('d', `M${x},${axis.top} V${axis.bottom}`);
      tip.hidden = false; tip.textContent = shown.join(' · ');
    }
  });
  svg.addEventListener('pointerleave', () => { for (const {cursor, tip} of panels) {
    cursor.setAttribute('d', ''); tip.hidden = true; } });
}
"""
