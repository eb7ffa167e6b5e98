"use strict";

// Cards are empty places until they come near the screen, so that thousands open at once.
const page = JSON.parse(document.getElementById("cards").textContent);
const layers = new Map(page.layers.map((layer) => [layer.name, layer]));
const byId = (id) => document.getElementById(id);
const grid = byId("grid");

// ---------------------------------------------------------------- what cards are sorted by

/** A number of a card, null where it has none. */
const MEASURES = [
  { name: "kernel", label: "layer and kernel", of: (card) => card.place, ascending: true },
  { name: "activation", label: "activation", of: (card) => card.evidence?.activation ?? null },
  {
    name: "above_noise",
    label: "activation above noise",
    of: (card) => difference(card.evidence?.activation, card.evidence?.noise_activation),
  },
  { name: "top_activation", label: "activation of its top image", of: (card) => card.top_activation },
  ...page.measures.map((measure) => ({
    ...measure,
    // A ranking may be called what a number of the ascent is called.
    name: `by:${measure.name}`,
    ranking: measure.name,
    of: (card) => card.scores[measure.name]?.value ?? null,
  })),
].filter((measure) => page.cards.some((card) => valueOf(measure, card) !== null));

function valueOf(measure, card) {
  return measure.name === "kernel" ? 0 : measure.of(card);
}

function difference(above, below) {
  return above == null || below == null ? null : above - below;
}

function ratio(above, below) {
  return above == null || !(below > 0) ? null : above / below;
}

page.cards.forEach((card, index) => {
  card.index = index;
  card.dead = Boolean(card.evidence?.dead);
});
// Cards come in no order; this is theirs.
const layerPlaces = new Map(page.layers.map((layer, place) => [layer.name, place]));
[...page.cards]
  .sort((a, b) => layerPlaces.get(a.layer) - layerPlaces.get(b.layer) || a.kernel - b.kernel)
  .forEach((card, place) => (card.place = place));

// ---------------------------------------------------------------- state, kept in the address

const state = { layer: "", kernels: "", sort: "kernel", up: true, alive: false, ranges: {} };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  state.layer = layers.has(given.get("layer")) ? given.get("layer") : "";
  state.kernels = given.get("kernels") ?? "";
  state.sort = MEASURES.some(({ name }) => name === given.get("sort")) ? given.get("sort") : "kernel";
  state.up = given.has("up") ? given.get("up") === "1" : state.sort === "kernel";
  state.alive = given.get("alive") === "1";
  state.ranges = {};
  for (const [key, value] of given) {
    const name = key.slice(key.indexOf(".") + 1);
    const isKnown = RANGE.test(key) && MEASURES.some((measure) => measure.name === name);
    if (isKnown && value !== "" && Number.isFinite(Number(value))) state.ranges[key] = value;
  }
}

const RANGE = /^(from|to|null|reliability)\./;

function writeAddress() {
  const given = new URLSearchParams();
  if (state.layer) given.set("layer", state.layer);
  if (state.kernels) given.set("kernels", state.kernels);
  if (state.sort !== "kernel") given.set("sort", state.sort);
  if (state.up !== (state.sort === "kernel")) given.set("up", state.up ? "1" : "0");
  if (state.alive) given.set("alive", "1");
  for (const [key, value] of Object.entries(state.ranges)) given.set(key, value);
  const hash = given.toString();
  try {
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  } catch {
    // Some browsers keep no address for files.
  }
}

/** "0-15,20" as a test of numbers; null if it says something else. */
function kernelTest(text) {
  const parts = text.split(",").map((part) => part.trim()).filter(Boolean);
  const spans = parts.map((part) => /^(\d+)(?:\s*-\s*(\d+))?$/.exec(part));
  if (spans.some((span) => !span || Number(span[2] ?? span[1]) < Number(span[1]))) return null;
  if (!spans.length) return () => true;
  return (kernel) =>
    spans.some(([, low, high]) => kernel >= Number(low) && kernel <= Number(high ?? low));
}

function matches(card, test) {
  if (state.layer && card.layer !== state.layer) return false;
  if (state.alive && card.dead) return false;
  if (!test(card.kernel)) return false;
  return Object.entries(state.ranges).every(([key, text]) => {
    const [what, name] = [key.slice(0, key.indexOf(".")), key.slice(key.indexOf(".") + 1)];
    const measure = MEASURES.find((one) => one.name === name);
    if (!measure) return true;
    const limit = Number(text);
    if (what === "from" || what === "to") {
      const value = measure.of(card);
      return value !== null && (what === "from" ? value >= limit : value <= limit);
    }
    const score = card.scores[measure.ranking];
    const value = what === "null" ? score?.null_percentile : score?.reliability;
    return value != null && value >= limit;
  });
}

function inOrder(cards) {
  const measure = MEASURES.find(({ name }) => name === state.sort);
  const sign = state.up ? 1 : -1;
  return cards.sort((a, b) => {
    const [one, other] = [measure.of(a), measure.of(b)];
    // Those without a number come last, whatever the direction.
    if (one === null || other === null) {
      return (one === null) - (other === null) || a.place - b.place;
    }
    return sign * (one - other) || a.place - b.place;
  });
}

// ---------------------------------------------------------------- elements

const SVG = "http://www.w3.org/2000/svg";

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(value) >= 1e5 ? value.toExponential(1) : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

const chunks = new Map();

/** The pictures of a card; a chunk of them is read at a time, and the last few are kept. */
function picturesOf(card) {
  const chunk = Math.floor(card.index / page.together);
  if (!chunks.has(chunk)) {
    chunks.set(chunk, JSON.parse(byId(`pictures-${chunk}`).textContent));
    if (chunks.size > 8) chunks.delete(chunks.keys().next().value);
  }
  return chunks.get(chunk)[card.index % page.together];
}

function figure(picture, side, what, labeled = true) {
  const words = picture.title || what;
  const title = !labeled && picture.label ? `${words}: ${picture.label}` : words;
  const image = element("img", { src: picture.source, alt: title, title, decoding: "async" });
  image.addEventListener("load", () => {
    const largest = Math.max(image.naturalHeight, 1);
    image.height = side;
    image.width = Math.round((image.naturalWidth * side) / largest);
    // Wide pictures keep their shape where there is no room.
    image.style.height = "auto";
  });
  image.height = side;
  const caption = labeled && picture.label ? element("figcaption", { textContent: picture.label }) : null;
  return element("figure", {}, image, caption);
}

function part(heading, ...children) {
  return element("section", {}, element("h3", { textContent: heading }), ...children);
}

// ---------------------------------------------------------------- plots

function polarPlot(orientations, responses, preferred, side) {
  const center = side / 2;
  const radius = center - 14;
  const peak = Math.max(...responses.map((one) => one ?? 0));
  const at = (degrees, length) => {
    const angle = (degrees * Math.PI) / 180;
    return [center + length * Math.cos(angle), center - length * Math.sin(angle)];
  };
  const plot = drawn("svg", {
    class: "plot", viewBox: `0 0 ${side} ${side}`, width: side, height: side, role: "img",
    "aria-label": `responses over orientations, peak ${number(peak)}`
      + (preferred === null ? "" : `, preferred ${number(preferred)}°`),
  });
  plot.append(drawn("circle", { class: "axis", cx: center, cy: center, r: radius }));
  plot.append(drawn("circle", { class: "axis", cx: center, cy: center, r: radius / 2 }));
  for (const [degrees, text, dx, dy, anchor] of [
    [0, "0°", 2, 3, "start"], [90, "90°", 0, -3, "middle"],
  ]) {
    const [x, y] = at(degrees, radius);
    const [x2, y2] = at(degrees + 180, radius);
    plot.append(drawn("line", { class: "axis", x1: x2, y1: y2, x2: x, y2: y }));
    const label = drawn("text", { x: Math.min(x + dx, side - 13), y: y + dy, "text-anchor": anchor });
    label.textContent = text;
    plot.append(label);
  }
  if (peak > 0) {
    // An orientation is the same bar half a turn on.
    const around = [...orientations, ...orientations.map((one) => one + 180)];
    const points = around.map((one, place) =>
      at(one, (radius * Math.max(0, responses[place % responses.length] ?? 0)) / peak));
    plot.append(drawn("polygon", { class: "curve", points: points.map((one) => one.map((x) => x.toFixed(1)).join(",")).join(" ") }));
    if (preferred !== null) {
      const [x1, y1] = at(preferred, radius);
      const [x2, y2] = at(preferred + 180, radius);
      plot.append(drawn("line", { class: "mark", x1, y1, x2, y2 }));
    }
  }
  return plot;
}

function frequencyPlot(frequencies, responses, preferred, width, height) {
  const [left, right, top, bottom] = [8, 8, 8, 18];
  const peak = Math.max(...responses.map((one) => one ?? 0));
  const low = Math.log2(frequencies[0]);
  const span = Math.max(Math.log2(frequencies.at(-1)) - low, 1e-9);
  const x = (frequency) => left + ((Math.log2(frequency) - low) / span) * (width - left - right);
  const y = (response) => height - bottom - (Math.max(0, response ?? 0) / (peak || 1)) * (height - top - bottom);
  const plot = drawn("svg", {
    class: "plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `responses over spatial frequencies, peak ${number(peak)}`
      + (preferred === null ? "" : `, preferred ${number(preferred, 2)} cycles per pixel`),
  });
  plot.append(drawn("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
  for (const [frequency, anchor] of [[frequencies[0], "start"], [frequencies.at(-1), "end"]]) {
    const label = drawn("text", {
      x: anchor === "start" ? left : width - right, y: height - 5, "text-anchor": anchor,
    });
    label.textContent = number(frequency, 2);
    plot.append(label);
  }
  const unit = drawn("text", { x: width / 2, y: height - 5, "text-anchor": "middle" });
  unit.textContent = "c/px";
  plot.append(unit);
  const points = frequencies.map((one, place) => `${x(one).toFixed(1)},${y(responses[place]).toFixed(1)}`);
  plot.append(drawn("polyline", { class: "curve open-curve", points: points.join(" ") }));
  if (preferred !== null && peak > 0) {
    plot.append(drawn("line", { class: "mark", x1: x(preferred), x2: x(preferred), y1: top, y2: height - bottom }));
  }
  frequencies.forEach((one, place) =>
    plot.append(drawn("circle", { class: "dot", cx: x(one), cy: y(responses[place]), r: 2.2 })));
  return plot;
}

// ---------------------------------------------------------------- cards

function evidenceLine(card) {
  const { evidence } = card;
  if (!evidence) return null;
  const unit = evidence.unit ? ` ${evidence.unit}` : "";
  const times = ratio(evidence.activation, evidence.noise_activation);
  const words = [
    `activation ${number(evidence.activation)}${unit}`,
    `noise ${number(evidence.noise_activation)}${unit}`,
  ];
  if (times !== null) words.push(`${number(times)} times`);
  return element("p", { className: "evidence", textContent: words.join(" · ") });
}

function scoreTable(card, large) {
  const rows = page.measures.filter(({ name }) => {
    const score = card.scores[name];
    return score && (score.value !== null || score.silent);
  });
  if (!rows.length) return null;
  const body = element("tbody");
  for (const { name, label, meaning } of rows) {
    const score = card.scores[name];
    const place = score.rank ? `${score.rank}/${layers.get(card.layer).kernels}` : "–";
    const percentile = element("td", {
      textContent: score.null_percentile === null ? "–" : `${Math.floor(score.null_percentile)} %`,
    });
    if (score.null_percentile >= 95) percentile.className = "above";
    body.append(element("tr", { className: `by:${name}` === state.sort ? "chosen" : "" },
      element("th", { scope: "row", textContent: large ? label : name.replaceAll("_", " "), title: meaning || label }),
      element("td", { textContent: score.silent ? "silent" : number(score.value) }),
      element("td", { textContent: score.preferred || "" }),
      percentile,
      element("td", { textContent: number(score.reliability, 2) }),
      element("td", { textContent: place })));
  }
  const heads = ["ranking", "score", "prefers", "null", "reliability", "rank"];
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col", textContent: text })));
  const caption = element("caption", { className: "unseen", textContent: `rankings of ${calledOf(card)}` });
  return element("table", { className: "scores" }, caption, element("thead", {}, head), body);
}

function fieldPart(card, picture, side) {
  const { field } = card;
  if (!field) return null;
  const theory = layers.get(card.layer).receptive_field;
  const of = theory ? ` of ${theory[0]} × ${theory[1]}` : "";
  const words = field.height === null
    ? "nothing drives it"
    : `${Math.round(field.height)} × ${Math.round(field.width)} px${of}`;
  const caption = element("figcaption", { textContent: words });
  if (field.over) caption.append(element("br"), `over ${field.over}`);
  return part("receptive field", picture ? figure(picture, side, "effective receptive field") : null, caption);
}

function curveParts(card, large) {
  const { curves } = card;
  if (!curves) return [];
  const layer = layers.get(card.layer);
  const to = curves.modulation ? ` to ${curves.modulation}` : "";
  const peak = Math.max(...curves.orientation.map((one) => one ?? 0));
  const side = large ? 220 : 100;
  return [
    part(`orientation${to}`,
      polarPlot(layer.orientations, curves.orientation, curves.preferred_orientation, side),
      element("figcaption", { textContent: `peak ${number(peak)}` })),
    part("spatial frequency",
      frequencyPlot(layer.spatial_frequencies, curves.spatial_frequency,
        curves.preferred_spatial_frequency, large ? 280 : 120, side),
      element("figcaption", { textContent: layer.response })),
  ];
}

/** All that is known of a kernel, small on a card or large in the dialog. */
function content(card, large) {
  const pictures = picturesOf(card);
  const side = large ? 256 : 92;
  const parts = [];
  const preferred = large ? pictures.preferred : pictures.preferred.slice(0, 4);
  if (preferred.length) {
    const shown = preferred.map((one) =>
      figure(one, preferred.length > 1 && !large ? 45 : side, `preferred image of ${calledOf(card)}`));
    parts.push(part("preferred image", element("div", { className: "strip" }, ...shown)));
  }
  if (pictures.weights) parts.push(part("weights", figure(pictures.weights, side, `weights of ${calledOf(card)}`)));
  parts.push(...curveParts(card, large));
  parts.push(fieldPart(card, pictures.field, side));
  if (pictures.saliency) parts.push(part("saliency", figure(pictures.saliency, side, "saliency")));
  if (pictures.top_images.length) {
    const shown = pictures.top_images.map((one, place) =>
      figure(one, large ? 120 : 42, `top image ${place + 1}`, large));
    parts.push(part("top images", element("div", { className: "strip" }, ...shown)));
  }
  const remarks = [...card.remarks, ...(large ? layers.get(card.layer).notes : [])];
  const body = element("div", {}, evidenceLine(card),
    element("div", { className: "parts" }, ...parts),
    element("div", { className: "wide" }, scoreTable(card, large)),
    remarks.length
      ? element("ul", { className: "remarks" }, ...remarks.map((text) => element("li", { textContent: text })))
      : null);
  return body;
}

function calledOf(card) {
  return card.name || `kernel ${card.kernel}`;
}

function nameOf(card) {
  return `${card.layer}, ${calledOf(card)}`;
}

function fill(article) {
  const card = page.cards[article.dataset.index];
  const button = element("button", { className: "open", type: "button", tabIndex: -1 }, `${calledOf(card)} `,
    element("small", { textContent: card.layer }));
  button.addEventListener("click", () => openDetail(card));
  const heading = element("h2", {}, button);
  if (card.dead) heading.append(element("span", { className: "badge", textContent: "dead" }));
  article.replaceChildren(heading, content(card, false));
  article.dataset.filled = state.sort;
}

let printing = false;

/** Give room back; the place stays as high as it was. */
function empty(article) {
  if (printing || article.contains(document.activeElement)) return;
  article.style.minHeight = `${article.offsetHeight}px`;
  article.replaceChildren();
  delete article.dataset.filled;
}

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting && !target.dataset.filled) fill(target);
    else if (!isIntersecting && target.dataset.filled) empty(target);
  }
}, { rootMargin: "1200px 0px" });

const articles = page.cards.map((card, index) => {
  const article = element("article", { className: card.dead ? "dead" : "", tabIndex: -1 });
  article.setAttribute("aria-label", nameOf(card));
  article.dataset.index = index;
  observer.observe(article);
  return article;
});

let shown = [];

function update() {
  const test = kernelTest(state.kernels);
  const note = test ? "" : "numbers and ranges, such as 0-15,20";
  byId("kernels").setCustomValidity(note);
  byId("kernels-note").textContent = note;
  shown = inOrder(page.cards.filter((card) => matches(card, test ?? (() => true))));
  grid.replaceChildren(...shown.map((card) => articles[card.index]));
  for (const article of articles) {
    if (article.dataset.filled && article.dataset.filled !== state.sort) {
      if (article.isConnected) fill(article);
      else empty(article);
    }
    article.tabIndex = -1;
  }
  if (shown.length) articles[shown[0].index].tabIndex = 0;
  byId("count").textContent = `${shown.length} of ${page.cards.length} kernels`;
  byId("none").hidden = shown.length > 0;
  const active = Object.keys(state.ranges).length;
  byId("active").textContent = active ? `(${active} set)` : "";
  writeAddress();
}

// ---------------------------------------------------------------- controls

function showState() {
  byId("layer").value = state.layer;
  byId("kernels").value = state.kernels;
  byId("sort").value = state.sort;
  byId("alive").checked = state.alive;
  const direction = byId("direction");
  direction.textContent = state.up ? "↑ lowest first" : "↓ highest first";
  for (const input of document.querySelectorAll("#ranges input")) {
    input.value = state.ranges[input.dataset.key] ?? "";
  }
}

function change(what) {
  Object.assign(state, what);
  showState();
  update();
}

function buildControls() {
  byId("title").textContent = page.title;
  const count = page.layers.length;
  byId("lead").textContent = `${page.cards.length} kernels of ${count} layer${count > 1 ? "s" : ""}. `
    + "Every picture stands beside the numbers that say how much to believe it.";
  byId("layer").append(element("option", { value: "", textContent: "all" }),
    ...page.layers.map(({ name }) => element("option", { value: name, textContent: name })));
  byId("sort").append(...MEASURES.map(({ name, label }) => element("option", { value: name, textContent: label })));
  byId("ranges").append(...MEASURES.filter(({ name }) => name !== "kernel").map(rangeRow));
  for (const [name, words] of Object.entries(page.facts)) {
    byId("facts").append(element("dt", { textContent: name }), element("dd", { textContent: words }));
  }
  byId("notes").append(...page.notes.map((text) => element("li", { textContent: text })));
  for (const { label, meaning } of page.measures) {
    if (meaning) byId("reading").append(element("dt", { textContent: label }), element("dd", { textContent: meaning }));
  }
}

function rangeRow(measure) {
  const values = page.cards.map(measure.of).filter((value) => value !== null);
  const [lowest, highest] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const input = (what, words, placeholder) => {
    const key = `${what}.${measure.name}`;
    const made = element("input", { type: "number", step: "any", placeholder });
    made.setAttribute("aria-label", `${measure.label}: ${words}`);
    made.dataset.key = key;
    made.addEventListener("input", () => {
      if (made.value === "") delete state.ranges[key];
      else state.ranges[key] = made.value;
      update();
    });
    return element("td", {}, made);
  };
  const has = (field) => measure.ranking && page.cards.some((card) => card.scores[measure.ranking]?.[field] != null);
  return element("tr", {},
    element("th", { scope: "row", textContent: measure.label }),
    input("from", "from", number(lowest)), input("to", "to", number(highest)),
    has("null_percentile") ? input("null", "null percentile from", "0–100") : element("td"),
    has("reliability") ? input("reliability", "reliability from", "up to 1") : element("td"));
}

function reset() {
  change({ layer: "", kernels: "", alive: false, ranges: {} });
}

byId("layer").addEventListener("change", (event) => change({ layer: event.target.value }));
byId("kernels").addEventListener("input", (event) => { state.kernels = event.target.value; update(); });
byId("sort").addEventListener("change", (event) => {
  const measure = MEASURES.find(({ name }) => name === event.target.value);
  change({ sort: measure.name, up: Boolean(measure.ascending) });
});
byId("direction").addEventListener("click", () => change({ up: !state.up }));
byId("alive").addEventListener("change", (event) => change({ alive: event.target.checked }));
byId("reset").addEventListener("click", () => { change({ sort: "kernel", up: true }); reset(); });
byId("widen").addEventListener("click", reset);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", () => { readAddress(); showState(); update(); });

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  try { localStorage.setItem("neurovis-theme", theme); } catch { /* not for files everywhere */ }
}

byId("theme").addEventListener("click", () => {
  const now = THEMES.indexOf(document.documentElement.dataset.theme);
  setTheme(THEMES[(now + 1) % THEMES.length]);
});

// ---------------------------------------------------------------- one kernel, large

const detail = byId("detail");
let opened = null;

function openDetail(card) {
  opened = card;
  const heading = byId("detail-title");
  heading.textContent = nameOf(card);
  if (card.dead) heading.append(element("span", { className: "badge", textContent: "dead" }));
  byId("detail-body").replaceChildren(content(card, true));
  const place = shown.indexOf(card);
  const focused = document.activeElement;
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place < 0 || place === shown.length - 1;
  if (!detail.open) detail.showModal();
  // A button that is disabled loses the focus, and the keys with it.
  else if (focused?.disabled) byId("close").focus();
  detail.scrollTop = 0;
}

function step(by) {
  const next = shown[shown.indexOf(opened) + by];
  if (next) openDetail(next);
}

byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => detail.close());
detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
detail.addEventListener("close", () => { if (opened && shown.includes(opened)) focusCard(opened); });
detail.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  else if (event.key === "ArrowRight") step(1);
  else return;
  event.preventDefault();
});

// ---------------------------------------------------------------- keys

function focusCard(card) {
  for (const article of grid.querySelectorAll('article[tabindex="0"]')) article.tabIndex = -1;
  const article = articles[card.index];
  article.tabIndex = 0;
  article.focus();
}

function columns() {
  return getComputedStyle(grid).gridTemplateColumns.split(" ").length;
}

grid.addEventListener("keydown", (event) => {
  const article = event.target.closest("article");
  if (!article) return;
  const card = page.cards[article.dataset.index];
  if (event.key === "Enter" || event.key === " ") {
    openDetail(card);
    event.preventDefault();
    return;
  }
  const place = shown.indexOf(card);
  const places = {
    ArrowRight: place + 1, ArrowLeft: place - 1, ArrowDown: place + columns(),
    ArrowUp: place - columns(), Home: 0, End: shown.length - 1,
  };
  if (!(event.key in places)) return;
  event.preventDefault();
  const next = shown[places[event.key]];
  if (next) focusCard(next);
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = { "/": "kernels", s: "sort" }[event.key];
  if (!target) return;
  event.preventDefault();
  byId(target).focus();
});

// Paper has all cards, not those near the screen.
window.addEventListener("beforeprint", () => {
  printing = true;
  for (const card of shown) if (!articles[card.index].dataset.filled) fill(articles[card.index]);
});
window.addEventListener("afterprint", () => { printing = false; });

let theme = "auto";
try { theme = localStorage.getItem("neurovis-theme") ?? "auto"; } catch { /* none is kept */ }
setTheme(THEMES.includes(theme) ? theme : "auto");
buildControls();
readAddress();
showState();
update();
