/* The ticked rows of the table: how many there are, and the boxes that tick several. Without this the boxes and the
   buttons below the table still work; it is only not said how many are ticked. For a root, as in app.js. */
"use strict";

(() => {
  function attach(root, signal) {
    const byId = (id) => root.getElementById(id);
    const boxes = () => [...root.querySelectorAll('input[form="bulk-form"][name="client_id"]')];
    const pageBox = () => byId("select-page");
    const matchingBox = () => root.querySelector("[data-select-matching]");
    const on = (name, listener) => root.addEventListener(name, listener, { signal });

    // Where the host page's htmx swaps the whole table, instead of changing what has changed, ticks would be lost.
    let ticked = [];

    function remember() {
      ticked = [...boxes(), matchingBox()].filter((box) => box?.checked).map((box) => box.id);
    }

    function tickAgain() {
      for (const id of ticked) if (byId(id)) byId(id).checked = true;
      show();
    }

    function show() {
      const rows = boxes();
      const matching = matchingBox();
      // What is on other pages cannot be seen, so with these all is ticked or nothing.
      for (const box of rows) {
        if (matching?.checked) box.checked = true;
        box.disabled = Boolean(matching?.checked);
      }
      const number = rows.filter((box) => box.checked).length;
      if (pageBox()) {
        pageBox().checked = number > 0 && number === rows.length;
        pageBox().indeterminate = number > 0 && number < rows.length;
        pageBox().disabled = Boolean(matching?.checked);
      }
      say(matching?.checked ? matching.dataset.selectMatching : number);
    }

    function say(number) {
      const status = byId("selection-status");
      if (!status) return;
      const words = number ? status.dataset.words.replace("#", number) : "";
      // The same words again would be read out again.
      if (status.textContent !== words) status.textContent = words;
      byId("selected-count").textContent = words;
    }

    function clear() {
      const hadFocus = byId("bulk-form")?.contains(root.activeElement);
      for (const box of [...boxes(), matchingBox()]) if (box) box.checked = false;
      ticked = [];
      show();
      // The buttons are gone now.
      if (hadFocus) [pageBox(), boxes()[0]].find((box) => box?.checkVisibility())?.focus();
    }

    on("change", ({ target }) => {
      if (target.id === "select-page") {
        for (const box of boxes()) box.checked = target.checked;
      } else if (target === matchingBox() && !target.checked) {
        clear();
        return;
      } else if (target.getAttribute("form") !== "bulk-form" && target !== matchingBox()) {
        return;
      }
      show();
    });
    on("reset", (event) => {
      if (event.target.id !== "bulk-form") return;
      event.preventDefault();
      clear();
    });
    on("selection-done", clear);
    for (const name of ["htmx:before:swap", "htmx:beforeSwap"]) on(name, remember);
    for (const name of ["htmx:after:swap", "htmx:afterSwap"]) on(name, tickAgain);
    show();
  }

  if ("embedded" in document.currentScript.dataset) (globalThis.importedClients ??= []).push(attach);
  else attach(document);
})();
