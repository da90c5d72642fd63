"use strict";
// Sorting, and the dialog that says where a number comes from. Without this file the page is whole,
// only less handy: nothing is made here that is not written in the page.
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const collator = new Intl.Collator("en", { numeric: true });
  const said = document.getElementById("said");

  const element = (name, text = "", attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  // ---- sorting -------------------------------------------------------------------------------

  // A row and the published numbers below it move together.
  const units = (body) => {
    const found = [];
    for (const row of body.rows) {
      if (row.classList.contains("group")) continue;
      const last = found.at(-1);
      const belongs = row.classList.contains("reported") && last
        && !last[0].classList.contains("reported") && last[0].dataset.label === row.dataset.label;
      if (belongs) last.push(row);
      else found.push([row]);
    }
    return found;
  };

  const compared = (one, two, down) => {
    if (one === null || two === null) return (one === null) - (two === null); // no number: last
    const order = typeof one === "number" ? one - two : collator.compare(one, two);
    return down ? -order : order;
  };

  const valueOf = (unit, number, isNumber) => {
    const cell = unit[0].cells[number];
    if (!isNumber) return cell.textContent.trim() || null;
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };

  const sortable = (table) => {
    const headings = [...table.tHead.rows[0].cells];
    const original = [...table.tBodies].map((body) => ({
      body,
      rows: [...body.rows],
      units: units(body),
      // Groups are of methods: sorted, they become one.
      merged: [...body.rows].some((row) => /method|reported/.test(row.className)),
    }));
    const restore = () => {
      for (const { body, rows } of original) body.append(...rows);
      for (const row of table.querySelectorAll("tr.group")) row.hidden = false;
    };
    const sort = (number, down) => {
      restore();
      const isNumber = headings[number].classList.contains("number");
      const order = (some) => some
        .map((unit) => ({ unit, value: valueOf(unit, number, isNumber) }))
        .sort((one, two) => compared(one.value, two.value, down))
        .flatMap(({ unit }) => unit);
      const merged = original.filter((part) => part.merged);
      for (const part of original) if (!part.merged) part.body.append(...order(part.units));
      if (merged.length) merged[0].body.append(...order(merged.flatMap((part) => part.units)));
      if (merged.length > 1) {
        for (const row of table.querySelectorAll("tr.group")) row.hidden = true;
      }
    };
    headings.forEach((heading, number) => {
      const button = element("button", "", { type: "button", class: "sort" });
      button.append(...heading.childNodes); // a word that shall not break is an element of its own
      heading.replaceChildren(button);
      const downFirst = heading.dataset.better === "higher";
      button.addEventListener("click", () => {
        const first = downFirst ? "descending" : "ascending";
        const second = downFirst ? "ascending" : "descending";
        const now = heading.getAttribute("aria-sort");
        const next = now === null ? first : now === first ? second : null;
        for (const other of headings) other.removeAttribute("aria-sort");
        if (next === null) restore();
        else {
          heading.setAttribute("aria-sort", next);
          sort(number, next === "descending");
        }
        const title = button.textContent;
        said.textContent = next ? `Sorted by ${title}, ${next}` : "In the original order";
      });
    });
  };

  // ---- why -----------------------------------------------------------------------------------

  const dialog = document.getElementById("why");
  const body = document.getElementById("why-body");

  const list = (pairs) => {
    const made = element("dl", "", { class: "settings" });
    for (const [key, value] of pairs) {
      const pair = element("div");
      pair.append(element("dt", key), value instanceof Node ? value : element("dd", value));
      made.append(pair);
    }
    return made;
  };

  const folded = (title, content) => {
    const made = element("details");
    made.append(element("summary", title), content);
    return made;
  };

  const rounded = (value) => String(Number(value.toPrecision(5)));

  const interval = (cell) => {
    if (cell.low === undefined) return null;
    return `${rounded(cell.low)} to ${rounded(cell.high)} (${100 * cell.level} %, ${cell.interval})`;
  };

  const number = (value) => (value === null ? "" : String(value));

  const seeds = (cell, origin) => {
    const table = element("table", "", { class: "plain" });
    const head = table.createTHead().insertRow();
    for (const title of ["Seed", "Value", "Run", "Record"]) {
      head.append(element("th", title, { scope: "col" }));
    }
    const rows = table.createTBody();
    for (const [seed, run] of Object.entries(origin.runs)) {
      const row = rows.insertRow();
      row.append(element("th", seed, { scope: "row" }));
      row.append(element("td", number(cell.seeds?.[seed] ?? null) || "none", { class: "number" }));
      const where = element("td");
      where.append(element("code", run));
      const record = element("td");
      record.append(element("code", (cell.records?.[seed] ?? ["manifest"]).join(" and ")));
      row.append(where, record);
    }
    const scroll = element("div", "", { class: "table-scroll", tabindex: "0", role: "region" });
    scroll.setAttribute("aria-label", "Values by seed");
    scroll.append(table);
    return scroll;
  };

  const configurations = (origin) => Object.entries(origin.runs ?? {}).flatMap(([seed, run]) => {
    const written = document.querySelector(`[data-run="${CSS.escape(run)}"] pre`);
    if (!written) return [];
    return [folded(`Resolved configuration, seed ${seed}`, written.cloneNode(true))];
  });

  const explain = (table, line, column, cell) => {
    document.getElementById("why-title").textContent = `${line.title}: ${column.title}`;
    const pairs = [["Number", cell.text], ["Score", `${column.what} (${column.better} is better)`]];
    if (cell.status !== "done") pairs.push(["Status", cell.status]);
    if (cell.value !== undefined) pairs.push(["In full", String(cell.value)]);
    const made = interval(cell);
    if (made) pairs.push(["Interval", made]);
    if (cell.n) pairs.push(["Test items", String(cell.n)]);
    pairs.push(...Object.entries(line.described));
    if (cell.difference) {
      const [value, low, high] = cell.difference;
      const bounds = low === null ? "" : ` (${rounded(low)} to ${rounded(high)})`;
      pairs.push([facts.tables[table.id].difference, `${rounded(value)}${bounds}`]);
    }
    if (cell.verdict) pairs.push(["Beside the published", cell.verdict]);
    if (cell.source) pairs.push(["Source", cell.source]);
    for (const note of cell.notes ?? []) pairs.push(["Note", note]);
    for (const [seed, text] of Object.entries(cell.chosen ?? {})) {
      pairs.push([`Chosen, seed ${seed}`, text]);
    }
    body.replaceChildren(list(pairs));
    const origin = cell.runs ? cell : line;
    if (origin.runs) body.append(seeds(cell, origin));
    if (origin.redo) {
      body.append(element("p", "To redo it, with an empty results folder:"));
      const command = element("p", "", { class: "command" });
      command.append(element("code", origin.redo));
      body.append(command);
    }
    for (const sha256 of cell.fingerprints ?? []) {
      const known = list(Object.entries(facts.conditions[sha256] ?? {}));
      known.prepend(list([["fingerprint", sha256]]).firstChild);
      body.append(folded("How it was measured", known));
    }
    body.append(...configurations(origin));
    dialog.showModal();
    dialog.scrollTop = 0;
  };

  const explained = (table) => {
    const known = facts.tables[table.id];
    const rows = table.querySelectorAll("tbody tr:not(.group)");
    rows.forEach((row, at) => {
      const line = known.lines[at];
      for (const place of row.querySelectorAll("td[data-column]")) {
        const cell = line.cells[place.dataset.column];
        if (!cell) continue;
        const button = element("button", "", { type: "button", class: "why" });
        button.setAttribute("aria-haspopup", "dialog");
        button.title = "Where this comes from";
        // Links to notes stay outside: a button holds no links.
        button.append(...[...place.childNodes].filter((node) => node.nodeName !== "SUP"));
        place.prepend(button);
        button.addEventListener("click", () =>
          explain(table, line, known.columns[place.dataset.column], cell));
      }
    });
  };

  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });

  for (const table of document.querySelectorAll("table[id^=table-]")) {
    if (!facts.tables[table.id]) continue;
    explained(table);
    sortable(table);
  }

  // On paper everything is open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("main details:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
})();
