// Search, filters and sorting for every table.data. Without this script the page says the same.
"use strict";
(() => {
  const CHOICES_MOST = 60;
  // Fewer rows are seen at a glance.
  const SEARCHED_FROM = 9;
  const made = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  // What is searched and sorted by is in the URL, so that it can be shared. A file may not change its own.
  const query = new URLSearchParams(location.search);
  const remember = (key, value) => {
    if (value) query.set(key, value); else query.delete(key);
    const search = query.toString();
    try {
      history.replaceState(null, "", location.pathname + (search ? "?" + search : "") + location.hash);
    } catch { /* a file */ }
  };

  const words = new WeakMap();
  const text = (row) => {
    if (!words.has(row)) words.set(row, row.textContent.toLowerCase());
    return words.get(row);
  };

  function tools(table) {
    const rows = [...table.tBodies[0].rows];
    const caption = table.caption.textContent;
    const search = made("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    const count = made("output");
    const bar = made("div", { class: "tools", role: "search", "aria-label": "Filter: " + caption },
      made("label", {}, "search", search));
    const facets = table.dataset.facets.split(" ").filter(Boolean).flatMap((facet) => {
      const tally = new Map();
      for (const row of rows) {
        const value = row.dataset[facet] ?? "";
        tally.set(value, (tally.get(value) ?? 0) + 1);
      }
      if (tally.size < 2 || tally.size > CHOICES_MOST) return [];
      const select = made("select", {}, made("option", { value: "" }, "all"));
      for (const [value, n] of [...tally].sort((a, b) => a[0].localeCompare(b[0])))
        select.append(made("option", { value }, `${value} (${n})`));
      bar.append(made("label", {}, facet, select));
      return [{ facet, select }];
    });
    bar.append(count);
    if (rows.length >= SEARCHED_FROM) table.closest(".scroll").before(bar);

    const show = () => {
      const terms = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const fits = facets.every(({ facet, select }) => !select.value || row.dataset[facet] === select.value)
          && terms.every((term) => text(row).includes(term));
        row.hidden = !fits;
        shown += fits;
      }
      const all = rows.length.toLocaleString("en");
      count.value = shown === rows.length ? `${all} rows` : `${shown.toLocaleString("en")} of ${all} rows`;
    };
    const heads = [...table.tHead.rows[0].cells];
    const sort = (head, direction) => {
      for (const other of heads) if (other.dataset.sort) other.removeAttribute("aria-sort");
      const at = heads.indexOf(head);
      const numbers = head.dataset.sort === "number";
      const key = (row) => numbers ? Number(row.cells[at].dataset.v || -Infinity) : row.cells[at].textContent;
      const sign = direction === "descending" ? -1 : 1;
      const keyed = rows.map((row, place) => ({ row, place, key: key(row) }));
      const compare = numbers ? (a, b) => (a > b) - (a < b) : new Intl.Collator("en", { numeric: true }).compare;
      keyed.sort((a, b) => sign * compare(a.key, b.key) || a.place - b.place);
      table.tBodies[0].append(...keyed.map((one) => one.row));
      head.setAttribute("aria-sort", direction);
    };

    for (const head of heads) {
      if (!head.dataset.sort) continue;
      const button = made("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.sort === "number" ? "descending" : "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        const direction = head.getAttribute("aria-sort") === first ? second : first;
        sort(head, direction);
        remember(table.id + ".sort", heads.indexOf(head) + "." + direction);
      });
    }
    const [place, direction] = (query.get(table.id + ".sort") ?? "").split(".");
    if (heads[place]?.dataset.sort && /^(a|de)scending$/.test(direction)) sort(heads[place], direction);

    search.value = query.get(table.id) ?? "";
    search.addEventListener("input", () => { show(); remember(table.id, search.value); });
    for (const { facet, select } of facets) {
      select.value = query.get(table.id + "." + facet) ?? "";
      if (select.selectedIndex < 0) select.value = "";
      select.addEventListener("change", () => { show(); remember(table.id + "." + facet, select.value); });
    }
    show();
  }

  const equip = () => document.querySelectorAll("table.data").forEach((table) => {
    if (table.querySelector("th[data-sort]")) tools(table);
  });
  equip();

  // The agent tells when it has judged; the page is then read again, and what the reader has opened stays open.
  const feed = document.body.dataset.events;
  if (!feed) return;
  const live = document.querySelector(".live");
  const opened = () => [...document.querySelectorAll("main details")].map((one) => one.open);
  const read = async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = document.querySelector("main");
    const open = opened();
    const held = document.activeElement?.closest("section, article, header")?.id;
    main.replaceChildren(...fresh.querySelector("main").childNodes);
    document.title = fresh.title;
    const details = [...main.querySelectorAll("details")];
    if (details.length === open.length) details.forEach((one, at) => { one.open = open[at]; });
    equip();
    if (held) document.getElementById(held)?.querySelector("a, button, input, select")?.focus({ preventScroll: true });
  };
  // Nobody's typing is taken away: what is new waits until the field is left.
  let waiting = false;
  const typing = () => document.activeElement?.matches("main input, main select");
  const draw = () => {
    if (typing()) { waiting = true; return; }
    waiting = false;
    read().catch(() => { live.textContent = "cannot reach the agent"; });
  };
  document.addEventListener("focusout", () => setTimeout(() => { if (waiting) draw(); }));
  const source = new EventSource(feed);
  source.addEventListener("open", () => { live.textContent = "live"; });
  source.addEventListener("error", () => { live.textContent = "not connected"; });
  source.addEventListener("judged", () => {
    live.textContent = "live, judged " + new Date().toLocaleTimeString("en-GB");
    draw();
  });
})();
