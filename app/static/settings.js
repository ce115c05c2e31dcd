/* What the pages of the settings can do besides. They work without it. After app.js. */
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);

  // On a phone the sections stand in one row that scrolls: the current one is in view, and the page stays where it is.
  function showSection() {
    const current = document.querySelector(".sidebar [aria-current]");
    const row = current.closest("nav");
    const middle = (element) => { const box = element.getBoundingClientRect(); return box.left + box.width / 2; };
    row.scrollBy({ left: middle(current) - middle(row), behavior: "instant" });
  }

  // What needs no button of its own has none, and what can be copied has one.
  function offerExtras() {
    for (const field of document.querySelectorAll("[data-sent-by]")) byId(field.dataset.sentBy).hidden = true;
    for (const box of document.querySelectorAll("[data-copy]")) box.hidden = !navigator.clipboard;
  }

  // Errors that came while somebody typed are those of their fields.
  function markFields() {
    for (const error of document.querySelectorAll(".field-error")) {
      const field = byId(error.id.replace(/-error$/, ""));
      if (error.textContent) field?.setAttribute("aria-invalid", "true");
      else field?.removeAttribute("aria-invalid");
    }
  }

  document.addEventListener("change", ({ target }) => {
    if (target.dataset.sentBy && target.files.length) byId(target.dataset.sentBy).click();
  });

  document.addEventListener("click", async ({ target }) => {
    const box = target.closest("[data-copy] button")?.parentElement;
    if (!box) return;
    const told = box.querySelector("[data-copied]");
    told.textContent = "";
    await navigator.clipboard.writeText(byId(box.dataset.copy).textContent);
    told.textContent = told.dataset.copied;
  });

  document.addEventListener("htmx:after:swap", () => {
    offerExtras();
    markFields();
  });
  showSection();
  offerExtras();
})();
