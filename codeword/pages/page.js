// Draws the pictures in the colours of the theme, and sorts and filters the tables.
const specs = JSON.parse(document.getElementById("specs").textContent);
const root = document.documentElement;
const preferred = window.matchMedia("(prefers-color-scheme: dark)");

// How many names of a legend fit beside one another: as wide as the longest.
function columns(spec, wide) {
  const own = (spec.layer ? spec.layer[0] : spec).encoding.color;
  const longest = Math.max(...((own && own.scale && own.scale.domain) || [0]).map((name) => String(name).length));
  return Math.max(1, Math.min(4, Math.floor((wide - 60) / (40 + 6 * longest))));
}

function colours(spec) {
  const style = getComputedStyle(root);
  const ink = style.getPropertyValue("--ink").trim();
  const line = style.getPropertyValue("--line").trim();
  const text = {labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line};
  const wide = document.querySelector("main").clientWidth;
  return {background: "transparent", axis: {...text, labelLimit: wide < 500 ? 110 : 160},
          axisQuantitative: {labelOverlap: "greedy", labelSeparation: 8, labelFlush: false},
          legend: {...text, columns: columns(spec, wide), labelLimit: 200}, title: {color: ink}, view: {stroke: line}};
}

// On dark paper the two darkest colours would be lost.
const LIGHTER = {"#882255": "#c06a99", "#117733": "#46a868"};

function shown(spec) {
  if (root.dataset.theme !== "dark") return spec;
  return JSON.parse(JSON.stringify(spec).replace(/#882255|#117733/g, (colour) => LIGHTER[colour]));
}

async function draw() {
  for (const {place, spec} of specs) {
    const found = await vegaEmbed("#" + place, shown(spec), {renderer: "svg", actions: {export: true, source: false,
      compiled: false, editor: false}, config: colours(spec), mode: "vega-lite"});
    const names = (spec.params || []).map((param) => param.name);
    if (names.includes("picked")) found.view.addEventListener("click", (event, item) => pick(item));
  }
  root.dataset.drawn = "yes";
}

function pick(item) {
  document.querySelectorAll("tr.picked").forEach((row) => row.classList.remove("picked"));
  if (!item || !item.datum) return;
  document.querySelectorAll("tbody tr").forEach((row) => {
    if (row.cells[0].dataset.value === String(item.datum.design)) row.classList.add("picked");
  });
  const first = document.querySelector("tr.picked");
  if (first) first.scrollIntoView({block: "nearest"});
}

function value(row, column) {
  const cell = row.cells[column];
  return "value" in cell.dataset ? JSON.parse(cell.dataset.value) : cell.textContent;
}

function compare(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", {numeric: true});
}

function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      [...table.tHead.rows[0].cells].forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => (down ? -1 : 1) * compare(value(a, column), value(b, column)));
      table.tBodies[0].append(...rows);
    });
  });
}

function filtered(table) {
  const label = document.createElement("label");
  label.className = "filter";
  label.textContent = "Rows that contain ";
  const input = document.createElement("input");
  input.type = "search";
  label.append(input);
  table.parentElement.before(label);
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}

document.querySelectorAll("table").forEach(sortable);
document.querySelectorAll("table.filtered").forEach(filtered);
document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  draw();
});
preferred.addEventListener("change", () => { root.dataset.theme = preferred.matches ? "dark" : "light"; draw(); });
root.dataset.theme = location.hash === "#dark" || preferred.matches ? "dark" : "light";
draw();
