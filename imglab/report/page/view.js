"use strict";
// The table of all runs: filter, sort, select, compare, and, where the server allows it, prune and delete.
const one = (id) => document.getElementById(id);
const table = one("runs"), body = table ? table.tBodies[0] : null;
const rows = body ? [...body.rows] : [];
const filter = one("filter"), wanted = one("status"), count = one("count"), all = one("all");
const compare = one("compare"), remove = one("delete"), sure = one("sure");
const prune = one("prune"), lean = one("lean");
const most = Number(document.body.dataset.most);

const box = (row) => row.cells[0].firstElementChild;
const label = (row) => row.querySelector(".name").dataset.value;
const shown = () => rows.filter((row) => !row.hidden);
const chosen = () => rows.filter((row) => box(row).checked);

const told = () => {
  const picked = chosen(), pages = picked.filter((row) => row.dataset.query);
  const seen = shown();
  rows.forEach((row) => row.classList.toggle("chosen", box(row).checked));
  count.textContent = `${seen.length} of ${rows.length} runs` + (picked.length ? `, ${picked.length} selected` : "");
  compare.disabled = !pages.length || pages.length > most;
  compare.textContent = pages.length > 1 ? `Compare ${pages.length} runs` : "Compare";
  compare.title = pages.length > most ? `at most ${most} runs` : "";
  [remove, prune].filter(Boolean).forEach((button) => { button.disabled = !picked.length; });
  if (all) {
    all.checked = seen.length > 0 && seen.every((row) => box(row).checked);
    all.indeterminate = !all.checked && picked.length > 0;
  }
};

// What is hidden is not selected: nobody compares or deletes what they do not see.
const sift = () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  rows.forEach((row) => {
    const text = row.textContent.toLowerCase();
    const fits = words.every((word) => text.includes(word));
    row.hidden = !fits || (wanted.value !== "" && row.dataset.status !== wanted.value);
    if (row.hidden) box(row).checked = false;
  });
  told();
};

const value = (row, at) => {
  const cell = row.cells[at], data = cell.dataset.value;
  if (data === undefined) return cell.textContent.trim();
  return data !== "" && Number.isFinite(Number(data)) ? Number(data) : data;
};

// Numbers stand before texts, and cells without a value at the end, whichever way it is sorted.
const order = (first, second, sign) => {
  const numbers = [typeof first === "number", typeof second === "number"];
  if (numbers[0] && numbers[1]) return sign * (first - second);
  if (numbers[0] !== numbers[1]) return numbers[0] ? -1 : 1;
  return sign * String(first).localeCompare(String(second), undefined, { numeric: true });
};

const sortBy = (head) => {
  const at = head.cellIndex, down = head.getAttribute("aria-sort") === "ascending";
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const keyed = rows.map((row) => [value(row, at), row]);
  keyed.sort(([first], [second]) => order(first, second, down ? -1 : 1));
  body.append(...keyed.map(([, row]) => row));
};

const ask = async (address, body) => {
  const headers = { "X-Imglab-Token": document.body.dataset.token, "Content-Type": "application/json" };
  const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(body) });
  return { ok: answer.ok, said: await answer.json() };
};

const list = (dialog, lines) => dialog.querySelector("ul").replaceChildren(
  ...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));

const askToDelete = () => {
  const names = chosen().map(label);
  sure.querySelector("h2").textContent = names.length > 1 ? `Delete ${names.length} runs for good?` : "Delete this run for good?";
  list(sure, names);
  one("refused").textContent = "";
  sure.showModal();
};

const deleteChosen = async () => {
  const { ok, said } = await ask("/delete", { runs: chosen().map(label) });
  if (ok) location.reload();
  else one("refused").textContent = said.error;
};

// What would be removed is asked of the server whenever the choice changes, and shown before it is.
let asked = 0;
const wouldPrune = async (really) => {
  const names = chosen().map(label), now = ++asked;
  const what = [...lean.querySelectorAll("input:checked")].map((each) => each.value);
  one("lean-refused").textContent = "";
  one("lean-yes").disabled = true;
  list(lean, what.length ? names : []);
  if (!what.length) return;
  const { ok, said } = await ask("/prune", { runs: names, what, sure: really });
  if (now !== asked) return;
  if (ok && really) location.reload();
  if (ok) list(lean, names.map((name, at) => `${name}: ${said.pruned[at]}`));
  else one("lean-refused").textContent = said.error;
  one("lean-yes").disabled = !ok;
};

const askToPrune = () => {
  const count = chosen().length;
  lean.querySelector("h2").textContent = count > 1 ? `Remove files of ${count} runs for good?` : "Remove files of this run for good?";
  lean.showModal();
  wouldPrune(false);
};

filter.addEventListener("input", sift);
wanted.addEventListener("change", sift);
if (table) {
  table.addEventListener("change", told);
  all.addEventListener("change", () => { shown().forEach((row) => { box(row).checked = all.checked; }); });
  table.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => sortBy(button.closest("th"))));
}
compare.addEventListener("click", () => {
  location.href = `/runs?${chosen().map((row) => row.dataset.query).filter(Boolean).join("&")}`;
});
if (remove) {
  remove.addEventListener("click", askToDelete);
  one("yes").addEventListener("click", deleteChosen);
  one("no").addEventListener("click", () => sure.close());
  prune.addEventListener("click", askToPrune);
  lean.addEventListener("change", () => wouldPrune(false));
  one("lean-yes").addEventListener("click", () => wouldPrune(true));
  one("lean-no").addEventListener("click", () => lean.close());
}
sift();
document.body.dataset.ready = "true";
