"use strict";
(() => {
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const form = document.querySelector(".filters");
  const rows = [...body.rows].filter((r) => r.dataset.status).map((tr, order) => ({
    tr,
    order,
    text: tr.textContent.toLowerCase(),
    kind: tr.className,
    status: Number(tr.dataset.status),
    severity: Number(tr.dataset.severity),
    severityName: tr.cells[1].textContent.trim(),
    key: tr.cells[2].textContent.trim().toLowerCase(),
    region: tr.cells[3].textContent.trim(),
    check: tr.querySelector("[data-check]").dataset.check,
    since: tr.cells[5].textContent.trim(),
  }));
  const $ = (id) => document.getElementById(id);
  const chips = [...form.querySelectorAll("button[data-status]")];

  const filter = () => {
    const words = $("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    const kinds = new Set(chips.filter((c) => c.getAttribute("aria-pressed") === "true").map((c) => c.dataset.status));
    let shown = 0;
    for (const r of rows) {
      const show = kinds.has(r.kind) && (!$("severity").value || r.severityName === $("severity").value) &&
        (!$("region").value || r.region === $("region").value) && (!$("check").value || r.check === $("check").value) &&
        words.every((w) => r.text.includes(w));
      r.tr.hidden = !show;
      if (show) shown++;
    }
    $("shown").value = shown === rows.length ? `${shown} findings` : `${shown} of ${rows.length} findings`;
  };

  const sort = (th, column) => {
    const up = th.getAttribute("aria-sort") ? th.getAttribute("aria-sort") === "descending" : typeof rows[0]?.[column] === "string";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
    rows.sort((a, b) => (a[column] < b[column] ? -1 : a[column] > b[column] ? 1 : 0) * (up ? 1 : -1) || a.order - b.order);
    body.append(...rows.map((r) => r.tr));
  };

  for (const th of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = th.textContent;
    button.addEventListener("click", () => sort(th, th.dataset.sort));
    th.replaceChildren(button);
  }
  for (const c of chips) {
    const n = rows.filter((r) => r.kind === c.dataset.status).length;
    c.append(` ${n}`);
    c.hidden = n === 0;
    c.addEventListener("click", () => {
      c.setAttribute("aria-pressed", String(c.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }
  // A page on which nothing asks for anything shows what there is.
  if (!rows.some((r) => ["fail", "error", "manual"].includes(r.kind))) chips.forEach((c) => c.setAttribute("aria-pressed", "true"));
  form.addEventListener("submit", (e) => e.preventDefault());
  form.addEventListener("input", filter);
  form.hidden = false;
  filter();

  // A link to a check opens it, as does printing all of them.
  const open = () => {
    const d = location.hash.startsWith("#check-") && $(decodeURIComponent(location.hash.slice(1)));
    if (d) d.open = true;
  };
  window.addEventListener("hashchange", open);
  document.addEventListener("click", (e) => {
    const a = e.target.closest('a[href^="#check-"]');
    const d = a && $(a.getAttribute("href").slice(1));
    if (d) d.open = true;
  });
  open();
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((d) => { d.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((d) => { d.open = false; }));

  if (navigator.clipboard) {
    for (const pre of document.querySelectorAll("figure pre")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        try {
          await navigator.clipboard.writeText(pre.textContent);
          button.textContent = "Copied";
        } catch {
          button.textContent = "Select it by hand";
        }
      });
      pre.previousElementSibling.append(button);
    }
  }
})();
