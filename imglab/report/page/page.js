"use strict";
// One slider moves everything on the page. The state is a generation, a view, and whether it plays.
const page = JSON.parse(document.getElementById("data").textContent);
const slider = document.getElementById("generation");
const told = document.getElementById("told");
const play = document.getElementById("play");
const dialog = document.getElementById("closer");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const TILES = 24;   // generations of a sample's history at most
const TILE = 96;    // screen pixels that a sample takes there
let timer = null, flicker = null, opened = null;

const make = (name, props = {}, ...children) => {
  const node = Object.assign(document.createElement(name), props);
  node.append(...children);
  return node;
};

// --- sheets of images ---------------------------------------------------------------------------------------------

const at = (arm, g) => arm.generations[Math.min(g, arm.generations.length - 1)] || null;
const sheetOf = (arm, g) => {
  const shown = at(arm, g);
  return shown && shown.sheet !== undefined && shown.sheet !== null ? page.sheets[shown.sheet] : "";
};
const EMPTY = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";

// A sample cut out of its sheet, enlarged by a whole number.
const cut = (url, layout, number) => {
  const step = (number_, size) => number_ * (size + layout.gap) + layout.gap;
  const scale = Math.max(1, Math.round(TILE / layout.w));
  const tile = make("i");
  tile.style.width = `${layout.w * scale}px`;
  tile.style.height = `${layout.h * scale}px`;
  tile.style.backgroundImage = `url("${url}")`;
  tile.style.backgroundSize = `${layout.width * scale}px ${layout.height * scale}px`;
  const left = step(number % layout.columns, layout.w), top = step(Math.floor(number / layout.columns), layout.h);
  tile.style.backgroundPosition = `-${left * scale}px -${top * scale}px`;
  return tile;
};

// One button for each image, of which one is in the tab order; the arrow keys move between them.
const layCells = (cells, arm, number, pinned) => {
  const layout = arm.layout;
  for (let i = 0; i < layout.count; i++) {
    const button = make("button", { type: "button", tabIndex: i ? -1 : 0 });
    const place = (offset, whole) => `${(100 * offset) / whole}%`;
    button.style.left = place((i % layout.columns) * (layout.w + layout.gap) + layout.gap, layout.width);
    button.style.top = place(Math.floor(i / layout.columns) * (layout.h + layout.gap) + layout.gap, layout.height);
    button.style.width = place(layout.w, layout.width);
    button.style.height = place(layout.h, layout.height);
    button.setAttribute("aria-label", `Image ${i + 1} of ${arm.name}${pinned ? ", generation 0" : ""}: its history`);
    button.addEventListener("click", () => openSample(number, i, pinned ? 0 : null));
    cells.append(button);
  }
  cells.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -layout.columns, ArrowDown: layout.columns };
    const from = [...cells.children].indexOf(event.target);
    if (!(event.key in steps) || from < 0) return;
    event.preventDefault();
    event.stopPropagation();
    const to = cells.children[from + steps[event.key]];
    if (!to) return;
    event.target.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
};

// --- texts --------------------------------------------------------------------------------------------------------

const layTexts = (list, arm, number, pinned) => {
  const first = arm.generations.find((shown) => shown.words);
  (first ? first.words : []).forEach((_, i) => {
    const prompt = arm.prompts ? make("span", { className: "prompt", dir: "auto", textContent: `${arm.prompts[i]} …` }) : "";
    const button = make("button", { type: "button" }, prompt, make("span", { className: "body" }));
    button.addEventListener("click", () => openSample(number, i, pinned ? 0 : null));
    list.append(make("li", {}, button));
  });
};

// --- the slider ---------------------------------------------------------------------------------------------------

const show = (g) => {
  slider.value = g;
  told.textContent = `generation ${g} of ${page.last}`;
  slider.setAttribute("aria-valuetext", told.textContent);
  document.querySelectorAll(".arm.now").forEach((panel) => {
    const arm = page.arms[panel.dataset.arm], shown = at(arm, g);
    const here = Math.min(g, arm.generations.length - 1);
    const late = here < g ? `generation ${here}, its last so far` : `generation ${here}`;
    panel.querySelector(".which").textContent = [late, shown ? shown.note : ""].filter(Boolean).join(" · ");
    const image = panel.querySelector("img.base");
    if (image) {
      image.src = sheetOf(arm, g) || EMPTY;
      image.alt = `${arm.layout.count || ""} samples of ${arm.name}, ${late}`;
    }
    panel.querySelectorAll(".body").forEach((body, i) => {
      body.textContent = shown && shown.words ? shown.words[i] : "(not in this page)";
    });
    const sheet = panel.querySelector(".sheet");
    if (sheet) sheet.textContent = (shown && shown.text) || "";
  });
  document.querySelectorAll(".chart[data-dx]").forEach((chart) => {
    const mark = chart.querySelector(".now");
    mark.setAttribute("transform", `translate(${g * Number(chart.dataset.dx)} 0)`);
  });
  document.querySelectorAll(".histogram").forEach((chart) => {
    const lines = [...chart.querySelectorAll(".bins")];
    const near = Math.max(...lines.map((line) => Number(line.dataset.g)).filter((one) => one <= g));
    lines.forEach((line) => line.classList.toggle("here", Number(line.dataset.g) === near));
  });
  document.querySelectorAll("tr[data-g]").forEach((row) => row.classList.toggle("here", Number(row.dataset.g) === g));
  try { sessionStorage.setItem(page.key, g); } catch { /* a page from disk may have no storage */ }
};

const move = (by) => show(Math.min(page.last, Math.max(0, Number(slider.value) + by)));
const stop = () => {
  clearInterval(timer);
  timer = null;
  play.textContent = "Play";
  play.setAttribute("aria-pressed", "false");
};
const toggle = () => {
  if (timer) return stop();
  if (Number(slider.value) >= page.last) show(0);
  timer = setInterval(() => (Number(slider.value) >= page.last ? stop() : move(1)), calm.matches ? 1600 : 700);
  play.textContent = "Pause";
  play.setAttribute("aria-pressed", "true");
};

const view = (name) => {
  document.body.classList.toggle("difference", name === "difference");
  document.body.classList.toggle("flicker", name === "flicker");
  document.body.classList.remove("odd");
  clearInterval(flicker);
  // Twice a second at most: faster flicker can harm.
  flicker = name === "flicker" ? setInterval(() => document.body.classList.toggle("odd"), 600) : null;
};

// --- one sample closely -------------------------------------------------------------------------------------------

const figure = (tile, text) => make("figure", { className: "tile" }, tile, make("figcaption", { textContent: text }));

const spread = (count) => {
  if (count <= TILES) return [...Array(count).keys()];
  const chosen = [...Array(TILES).keys()].map((i) => Math.round((count ** (i / (TILES - 1))) - 1));
  return [...new Set(chosen)].map((g) => Math.min(g, count - 1));
};

// `fixed` is the generation of a pinned panel; others follow the slider.
const openSample = (number, i, fixed) => {
  const arm = page.arms[number], g = Math.min(fixed ?? Number(slider.value), arm.generations.length - 1);
  const shown = at(arm, g), real = page.real[arm.data], images = arm.kind === "images";
  const label = images && shown.words ? ` (${shown.words[i]})` : "";
  dialog.querySelector("h2").textContent = `${images ? "Image" : "Text"} ${i + 1} of ${arm.name}${label}`;
  const body = dialog.querySelector("div");
  body.replaceChildren();
  if (arm.prompts) body.append(make("p", { className: "soft", dir: "auto", textContent: `${arm.prompts[i]} …` }));
  body.append(make("h3", { textContent: "The same latent in every generation" }));
  if (!images) body.lastChild.textContent = "The same prompt in every generation";
  const history = make("div", { className: images ? "tiles" : "history" });
  for (const past of spread(arm.generations.length)) {
    const url = images ? sheetOf(arm, past) : null, words = arm.generations[past].words;
    if (url) history.append(figure(cut(url, arm.layout, i), `${past}`));
    else if (!images && words) history.append(make("p", {}, make("b", { textContent: `${past}  ` }), make("bdi", { textContent: words[i] })));
  }
  body.append(history, make("h3", { textContent: `Nearest real training samples to generation ${g}'s` }));
  const near = make("div", { className: images ? "tiles" : "history" });
  ((shown.near || [])[i] || []).forEach((row, k) => {
    const far = `distance ${shown.far[i][k]}`, words = real.words[row];
    if (real.place && row in real.place) {
      const name = words && words.label ? `${words.label}, ${far}` : far;
      near.append(figure(cut(page.sheets[real.sheet], real.layout, real.place[row]), name));
    } else if (words && words.text) {
      near.append(make("p", {}, make("b", { textContent: `${far}  ` }), make("bdi", { textContent: words.text })));
    }
  });
  const left = page.inline.includes(g) ? "not recorded" : "not in this page; generations beside it have it in their folders";
  if (!near.children.length) near.append(make("p", { className: "soft", textContent: left }));
  body.append(near);
  opened = [number, i, fixed];
  if (!dialog.open) dialog.showModal();
};

// --- wiring -------------------------------------------------------------------------------------------------------

document.querySelectorAll(".arm").forEach((panel) => {
  const number = Number(panel.dataset.arm), arm = page.arms[number], pinned = panel.classList.contains("pinned");
  const cells = panel.querySelector(".cells"), list = panel.querySelector(".texts");
  if (cells && arm.layout.count) layCells(cells, arm, number, pinned);
  if (list) layTexts(list, arm, number, pinned);
  const first = sheetOf(arm, 0) || EMPTY;
  panel.querySelectorAll(pinned ? "img" : "img.over").forEach((image) => { image.src = first; });
  const sheet = panel.querySelector(".sheet");
  if (pinned && sheet) sheet.textContent = arm.generations[0].text || "";
  if (pinned && list && arm.generations[0].words) {
    list.querySelectorAll(".body").forEach((body, i) => { body.textContent = arm.generations[0].words[i]; });
  }
});
slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
play.addEventListener("click", toggle);
document.getElementById("back").addEventListener("click", () => { stop(); move(-1); });
document.getElementById("on").addEventListener("click", () => { stop(); move(1); });
document.querySelectorAll('input[name="view"]').forEach((input) => {
  input.addEventListener("change", () => view(input.value));
});
// The names of the arms hide and show their lines in the charts below them.
document.querySelectorAll("[data-toggles]").forEach((button) => {
  button.addEventListener("click", () => {
    const off = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!off));
    const lines = `[data-line="${button.dataset.toggles}"]`;
    button.closest(".group").querySelectorAll(lines).forEach((line) => line.classList.toggle("off", off));
  });
});
// A line of many points has no markers with titles: its chart says what the pointer is over.
const tip = make("div", { className: "tip", hidden: true });
document.body.append(tip);
const pointed = (chart, event) => {
  const box = chart.getBoundingClientRect(), lines = [];
  const x = ((event.clientX - box.left) * chart.viewBox.baseVal.width) / box.width;
  const g = Math.min(page.last, Math.max(0, Math.round((x - Number(chart.dataset.x0)) / Number(chart.dataset.dx))));
  chart.querySelectorAll(".line[data-values]:not(.off)").forEach((line) => {
    const point = line.dataset.values.split(",").map((each) => each.split(":")).find(([each]) => Number(each) === g);
    if (point) lines.push(`${line.dataset.name}: ${point[1]}${point.length > 2 ? ` (${point[2]} to ${point[3]})` : ""}`);
  });
  tip.replaceChildren(make("b", { textContent: `generation ${g}` }), ...lines.map((text) => make("div", { textContent: text })));
  tip.hidden = !lines.length;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4), below = event.clientY + 18;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${below + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
};
document.querySelectorAll(".chart[data-dx]").forEach((chart) => {
  if (!chart.querySelector(".line[data-values]")) return;
  chart.addEventListener("pointermove", (event) => pointed(chart, event));
  chart.addEventListener("pointerleave", () => { tip.hidden = true; });
});
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.matches("select, textarea, .scroll, pre, input:not([type=range], [type=radio])")) return;
  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  if (event.key in steps) {
    event.preventDefault();
    stop();
    move(steps[event.key]);
    if (dialog.open && opened) openSample(...opened);
  }
});
// Paper has no folds; what was folded is folded again afterwards.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open])").forEach((fold) => { fold.open = true; fold.dataset.folded = ""; });
});
addEventListener("afterprint", () => {
  document.querySelectorAll("details[data-folded]").forEach((fold) => { fold.open = false; delete fold.dataset.folded; });
});
dialog.querySelector("button").addEventListener("click", () => dialog.close());

let kept = null;
try { kept = sessionStorage.getItem(page.key); } catch { /* as above */ }
show(kept === null ? page.last : Math.min(Number(kept), page.last));
document.body.dataset.ready = "true";

// While a run goes on its server says when there is more to see.
if (page.live) {
  const ask = async () => {
    try {
      const answer = await (await fetch("state")).json();
      if (answer.state !== page.live) {
        if (Number(slider.value) === page.last) sessionStorage.removeItem(page.key);
        if (!dialog.open && !timer) return location.reload();  // else somebody is looking
      }
      document.getElementById("live").textContent = answer.done ? "finished" : "running";
      if (answer.done) return;
    } catch { document.getElementById("live").textContent = "the run's server has stopped"; return; }
    setTimeout(ask, 2000);
  };
  setTimeout(ask, 2000);
}
