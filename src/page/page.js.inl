R"js(
'use strict';
const one = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const root = document.documentElement;

// What needs a script is hidden until there is one.
all('[data-script]').forEach(e => { e.hidden = false; });

// A page from a disk may have no storage; then a choice lasts until the page is closed.
const keep = (store, name, value) => { try { store().setItem(name, value); } catch {} };
const kept = (store, name) => { try { return store().getItem(name); } catch { return null; } };

const themes = ['auto', 'light', 'dark'];
const themeButton = one('#theme');
function setTheme(name) {
  if (name == 'auto') delete root.dataset.theme;
  else root.dataset.theme = name;
  one('b', themeButton).textContent = name;
}
setTheme(root.dataset.theme || 'auto');
themeButton.onclick = () => {
  const next = themes[(themes.indexOf(root.dataset.theme || 'auto') + 1) % themes.length];
  setTheme(next);
  keep(() => localStorage, 'theme', next);
};

all('[data-copy]').forEach(button => {
  const say = text => {
    button.textContent = text;
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  };
  button.onclick = () => {
    const source = one(button.dataset.copy);
    if (navigator.clipboard) {
      navigator.clipboard.writeText(source.textContent).then(() => say('Copied'), () => say('Not copied'));
    } else {
      getSelection().selectAllChildren(source);
      say('Selected');
    }
  };
});

addEventListener('beforeprint', () => all('details').forEach(e => { e.open = true; }));

const reload = one('#reload');
if (reload) {
  reload.checked = kept(() => sessionStorage, 'reload') == 'yes';
  reload.onchange = () => keep(() => sessionStorage, 'reload', reload.checked ? 'yes' : '');
  setInterval(() => { if (reload.checked && !document.hidden) location.reload(); }, 30000);
}

// Charts are drawn by the program that wrote the page; what follows adds the crosshair and its readings.
const data = JSON.parse(one('#data').textContent);
const charts = [];
function add(parent, tag, attributes) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const name in attributes) e.setAttribute(name, attributes[name]);
  return parent.appendChild(e);
}
function text(value, decimals) {
  if (value == null) return 'NaN';
  const places = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  if (decimals != null) return value.toLocaleString('en', places).replace('-', '−');
  const small = value && Math.abs(value) < 1e-3;
  return (small ? (+value.toPrecision(3)).toExponential() : String(+value.toPrecision(3))).replace('-', '−');
}
function nearest(xs, x) {
  let low = 0;
  let high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle;
    else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

all('.chart').forEach(figure => {
  const chart = data.charts[figure.dataset.chart];
  const svg = one('svg', figure);
  const [low, high] = chart.range;
  const share = y => chart.log ? Math.log(y / low) / Math.log(high / low) : (y - low) / (high - low);
  const cross = add(svg, 'line', { class: 'cross', y1: chart.top, y2: chart.bottom, visibility: 'hidden' });
  const foot = add(svg, 'text', { class: 'at halo', y: chart.bottom + 18 });
  const lines = chart.series.map((s, i) => {
    const label = all('.label', svg)[i];
    const value = one('tspan', label);
    const point = add(svg, 'circle', { class: 'point', r: 3.5, style: label.getAttribute('style'), visibility: 'hidden' });
    return { ...s, x: data.x[s.x], value, last: value.textContent, point };
  });
  const steps = lines[0].x;
  const reading = x => lines.map(l => l.name + ' ' + text(l.y[nearest(l.x, x)], chart.decimals)).join(', ');

  function show(x) {
    const percent = 100 * x / chart.last + '%';
    cross.setAttribute('x1', percent);
    cross.setAttribute('x2', percent);
    cross.setAttribute('visibility', 'visible');
    foot.textContent = 'step ' + x.toLocaleString('en');
    const width = svg.clientWidth;
    const half = foot.getComputedTextLength() / 2;
    const at = Math.min(Math.max(width * x / chart.last, half - 20), width - half + 60);
    foot.setAttribute('x', at);
    all('.x', svg).forEach(t => {
      const away = Math.abs(parseFloat(t.getAttribute('x')) / 100 * width - at);
      t.style.visibility = away < half + 16 ? 'hidden' : '';
    });
    for (const line of lines) {
      const i = nearest(line.x, x);
      const y = line.y[i];
      const inside = y != null && share(y) <= 1 && share(y) >= 0;
      line.value.textContent = text(y, chart.decimals);
      line.point.setAttribute('visibility', inside ? 'visible' : 'hidden');
      line.point.setAttribute('cx', 100 * line.x[i] / chart.last + '%');
      if (inside) line.point.setAttribute('cy', chart.bottom - share(y) * (chart.bottom - chart.top));
    }
  }
  function hide() {
    cross.setAttribute('visibility', 'hidden');
    foot.textContent = '';
    all('.x', svg).forEach(t => { t.style.visibility = ''; });
    for (const line of lines) {
      line.value.textContent = line.last;
      line.point.setAttribute('visibility', 'hidden');
    }
  }
  let at = null;  // index into steps while the keyboard reads
  const showAll = x => charts.forEach(c => { if (c.last == chart.last) c.show(x); });
  const hideAll = () => { at = null; charts.forEach(c => c.hide()); };
  svg.onpointermove = svg.onpointerdown = event => {
    const box = svg.getBoundingClientRect();
    const q = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    at = nearest(steps, q * chart.last);
    showAll(steps[at]);
  };
  svg.onpointerleave = svg.onblur = hideAll;
  svg.onkeydown = event => {
    if (event.key == 'Escape') return hideAll();
    const from = at == null ? steps.length : at;
    const by = event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: from - by, ArrowRight: from + by, Home: 0, End: steps.length - 1 }[event.key];
    if (to == null) return;
    event.preventDefault();
    at = Math.min(steps.length - 1, Math.max(0, to));
    showAll(steps[at]);
    one('output', figure).textContent = 'step ' + steps[at] + ': ' + reading(steps[at]) + ' ' + chart.unit;
  };
  charts.push({ show, hide, last: chart.last });
});
)js"
