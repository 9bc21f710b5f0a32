R"css(
:root {
  color-scheme: light dark;
  --ground: light-dark(#fcfcfb, #15181b);
  --sunk: light-dark(#f2f3f1, #1d2125);
  --ink: light-dark(#1a1d1c, #e6e9e7);
  --muted: light-dark(#5a605c, #9aa29e);
  --accent: light-dark(#00606b, #6fcfd8);
  --edge: light-dark(#8b918d, #6a726e);
  --rule: light-dark(#d6d9d5, #373d42);
  --grid: light-dark(#e8eae7, #272c30);
  --good: light-dark(#17693a, #6fd08f);
  --warning: light-dark(#855600, #eebb55);
  --bad: light-dark(#b3261e, #ff8f82);
  --s0: light-dark(#48504c, #b4bcb8);
  --s1: light-dark(#1b49bc, #6fa5fc);
  --s2: light-dark(#b55302, #f69d3e);
  --s3: light-dark(#058366, #5ce3be);
  --s4: light-dark(#8d227c, #c9729d);
  --s5: light-dark(#7655e3, #8074db);
  --s6: light-dark(#514f0a, #eadb65);
  --s7: light-dark(#234f5a, #a9eaff);
  --s8: light-dark(#6c172c, #eb7466);
  --heat: light-dark(#1a79b9, #5fa5de);
  --heat-soft: light-dark(#8dbde6, #285476);
  --sans: system-ui, -apple-system, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei",
    sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace;
}
:root[data-theme=light] { color-scheme: light }
:root[data-theme=dark] { color-scheme: dark }

/* text */
*, ::before, ::after { box-sizing: border-box }
[hidden] { display: none !important }
body {
  margin: 0;
  background: var(--ground);
  color: var(--ink);
  font: .9375rem/1.55 var(--sans);
  font-variant-numeric: tabular-nums;
  overflow-wrap: break-word;
  -webkit-text-size-adjust: 100%;
}
h1, h2, h3 { font-weight: 650 }
h1 { margin: 2rem 0 .5rem; font-size: 1.75rem; line-height: 1.2; letter-spacing: -.015em; overflow-wrap: anywhere }
h2 { margin: 2.75rem 0 .5rem; font-size: 1.125rem; line-height: 1.35; scroll-margin-top: 1rem }
h3 { margin: 1.5rem 0 .25rem; font-size: .875rem; line-height: 1.4 }
p { margin: .5rem 0; max-width: 44rem }
.lead { font-size: 1.0625rem; line-height: 1.5 }
.note, .unit, small { font-size: .8125rem; color: var(--muted) }
.note { line-height: 1.45 }
.muted { color: var(--muted) }
.hidden-text { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
a { color: var(--accent); text-underline-offset: .15em; text-decoration-thickness: 1px }
a:hover { text-decoration-thickness: 2px }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 2px }
code, pre { font-family: var(--mono); font-size: .8125rem }
code { background: var(--sunk); padding: .05em .3em; border-radius: 3px }
pre { margin: .5rem 0; padding: .75rem 1rem; line-height: 1.55; background: var(--sunk); border-radius: 4px; overflow-x: auto }
pre code { padding: 0; background: none }

/* page */
.page { max-width: 70rem; margin: auto; padding: 0 1.5rem 3rem }
.top {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: .25rem .75rem;
  min-height: 3.25rem;
  padding: .5rem 0;
  border-bottom: 1px solid var(--rule);
  font-size: .8125rem;
}
.mark { display: flex; align-items: center; gap: .5rem; color: var(--ink); font-weight: 650; text-decoration: none }
.mark svg { width: 1.125rem; height: 1.125rem }
.mark path { stroke: var(--ground) }
.space { flex: 1 }
.state { font-weight: 600; white-space: nowrap; color: var(--good) }
.state::before { content: "● " }
.state.warning { color: var(--warning) }
.state.warning::before { content: "▲ " }
.state.failed { color: var(--bad) }
.state.failed::before { content: "✕ " }
.jump { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin: 1.25rem 0 0; padding: 0; list-style: none; font-size: .8125rem }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 0 2.5rem }
.columns > * { min-width: 0 }
.foot {
  display: flex;
  flex-wrap: wrap;
  gap: .25rem 1.5rem;
  margin-top: 3rem;
  padding-top: .75rem;
  border-top: 1px solid var(--rule);
  font-size: .75rem;
  color: var(--muted);
}

/* controls */
button {
  font: inherit;
  font-size: .8125rem;
  color: inherit;
  min-height: 2rem;
  padding: .2rem .65rem;
  background: var(--ground);
  border: 1px solid var(--edge);
  border-radius: 4px;
  cursor: pointer;
}
button:hover { background: var(--sunk) }
button.plain { padding: .2rem .4rem; color: var(--muted); background: none; border-color: transparent }
button.plain:hover { color: var(--ink); background: var(--sunk) }
label { display: inline-flex; align-items: center; gap: .35rem }
input { margin: 0; accent-color: var(--accent) }
summary { width: max-content; max-width: 100%; font-size: .8125rem; color: var(--muted); cursor: pointer }
summary:hover { color: var(--ink) }
.copy { display: flex; gap: .5rem; align-items: start }
.copy pre { flex: 1; min-width: 0; margin: 0 }

/* key figures */
progress { appearance: none; display: block; width: 100%; height: .375rem; margin-top: 1.25rem; border: 0; border-radius: 3px; background: var(--grid); overflow: hidden }
progress::-webkit-progress-bar { background: var(--grid) }
progress::-webkit-progress-value { background: var(--accent) }
progress::-moz-progress-bar { background: var(--accent) }
.keys { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem 0; margin: 1.5rem 0 0 }
.keys div { padding: 0 .75rem; border-left: 1px solid var(--rule) }
.keys dt, .keys dd + dd { font-size: .8125rem; color: var(--muted) }
.keys dd { margin: 0; line-height: 1.4 }
.keys dt + dd { font-size: 1.375rem; line-height: 1.3; letter-spacing: -.01em }
.keys small { letter-spacing: 0 }

/* charts: the svg is the plot's area, text stands outside it, so that nothing is drawn anew when the width changes */
figure { margin: 1.25rem 0 0; min-width: 0 }
figcaption { font-size: .8125rem; line-height: 1.45; margin-bottom: .25rem }
figcaption b { font-size: .875rem; font-weight: 650; margin-right: .25rem }
.chart { container-type: inline-size }
.chart table { width: auto; min-width: min(100%, 24rem) }
.chart > svg {
  display: block;
  width: calc(100% - var(--left) - var(--right));
  margin-left: var(--left);
  overflow: visible;
  touch-action: pan-y;
  cursor: crosshair;
}
.plot { overflow: hidden }
.labels { overflow: visible }
svg text { font: .75rem var(--sans); font-variant-numeric: tabular-nums; fill: var(--muted) }
svg .grid { stroke: var(--grid) }
svg .axis { stroke: var(--edge) }
svg .limit { stroke: var(--edge); stroke-dasharray: 2 3 }
svg .halo { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round }
svg .y { text-anchor: end }
svg .x { text-anchor: middle }
svg .line, svg .dots { fill: none; stroke: var(--c); stroke-width: 1.75px; stroke-linejoin: round; vector-effect: non-scaling-stroke }
svg .dashed { stroke-dasharray: 6 3 }
svg .dotted { stroke-dasharray: 1.5 3 }
svg .band { fill: var(--c); opacity: .16 }
svg .faint { stroke-width: 1px; opacity: .35 }
svg .dots { stroke-width: 5px; stroke-linecap: round }
svg .label { font-weight: 600; fill: var(--c) }
svg .label tspan { font-weight: 400; fill: var(--ink) }
svg .leader { fill: none; stroke: var(--c); opacity: .6 }
svg .cross { stroke: var(--ink); opacity: .55 }
svg .at { font-weight: 600; fill: var(--ink); text-anchor: middle }
svg .point { fill: var(--c) }
@container (max-width: 26rem) { .odd { display: none } }

/* tables */
table { width: 100%; margin: .75rem 0 .5rem; border-collapse: collapse; font-size: .8125rem; line-height: 1.4 }
caption { padding-bottom: .25rem; text-align: left; color: var(--muted) }
th, td { padding: .375rem 1rem .375rem 0; border-bottom: 1px solid var(--grid); text-align: left; vertical-align: baseline }
th:last-child, td:last-child { padding-right: 0 }
thead th { font-weight: 600; color: var(--muted); border-color: var(--rule); vertical-align: bottom }
thead small { display: block; font-weight: 400 }
tbody th { font-weight: 600 }
tbody tr:hover { background: var(--sunk) }
.number { text-align: right; white-space: nowrap }
.best { font-weight: 700 }
.best::before, .near::before { content: "◆ "; font-size: .75rem; color: var(--accent) }
.near::before { content: "◇ " }
.bar { width: 30%; min-width: 5rem }
.bar i { display: block; height: .5rem; min-width: 1px; background: var(--heat); border-radius: 1px }
.written { white-space: pre-line; overflow-wrap: anywhere }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1.25rem; margin: .5rem 0; font-size: .8125rem }
.facts dt { color: var(--muted) }
.facts dd { margin: 0; overflow-wrap: anywhere }

@media (max-width: 40rem) {
  .page { padding: 0 1rem 2rem }
  .long { display: none }
  .top { column-gap: .5rem }
  h1 { font-size: 1.5rem; margin-top: 1.25rem }
  h2 { margin-top: 2.25rem }
  .keys { grid-template-columns: 1fr 1fr }
  .copy { flex-direction: column }
  .copy pre { width: 100% }
  .stack, .stack tbody, .stack caption { display: block }
  .stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  .stack tr { display: grid; grid-template-columns: 1fr 1fr; gap: .1rem 1.25rem; padding: .5rem 0; border-bottom: 1px solid var(--rule) }
  .stack th, .stack td { min-width: 0; padding: .1rem 0; border: 0; text-align: left }
  .stack .wide { grid-column: 1 / -1 }
  .stack [data-head]::before { content: attr(data-head) " "; font-size: inherit; font-weight: 400; color: var(--muted) }
  .stack .best[data-head]::before { content: attr(data-head) " ◆ " }
  .stack .near[data-head]::before { content: attr(data-head) " ◇ " }
}
@media (max-width: 24rem) {
  .page { padding: 0 .75rem 2rem }
  .bar { display: none }
  th, td { padding-right: .6rem }
}
@media (pointer: coarse) {
  button, summary, .jump a, .top label, .mark { min-height: 2.75rem }
  .jump a, summary { display: inline-flex; align-items: center }
}
@media print {
  :root, :root[data-theme] { color-scheme: light }
  body { font-size: 9.5pt }
  .page { max-width: none; padding: 0 }
  button, .jump, .screen { display: none !important }
  figure, tr, pre, .keep { break-inside: avoid }
  h2, h3 { break-after: avoid }
  pre { white-space: pre-wrap }
  a { color: inherit }
}
)css"
