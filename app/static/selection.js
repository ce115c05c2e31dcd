/* The ticked rows of the table: how many there are, and the boxes that tick several. Without this the boxes and the
   buttons below the table still work; it is only not said how many are ticked. */
"use strict";

(() => {
  const boxes = () => [...document.querySelectorAll('input[form="bulk-form"][name="client_id"]')];
  const pageBox = () => document.getElementById("select-page");
  const matchingBox = () => document.querySelector("[data-select-matching]");

  function show() {
    const rows = boxes();
    const matching = matchingBox();
    // What is on other pages cannot be seen, so with these all is ticked or nothing.
    for (const box of rows) {
      if (matching?.checked) box.checked = true;
      box.disabled = Boolean(matching?.checked);
    }
    const ticked = rows.filter((box) => box.checked).length;
    if (pageBox()) {
      pageBox().checked = ticked > 0 && ticked === rows.length;
      pageBox().indeterminate = ticked > 0 && ticked < rows.length;
      pageBox().disabled = Boolean(matching?.checked);
    }
    say(matching?.checked ? matching.dataset.selectMatching : ticked);
  }

  function say(number) {
    const status = document.getElementById("selection-status");
    if (!status) return;
    const words = number ? status.dataset.words.replace("#", number) : "";
    // The same words again would be read out again.
    if (status.textContent !== words) status.textContent = words;
    document.getElementById("selected-count").textContent = words;
  }

  function clear() {
    const hadFocus = document.getElementById("bulk-form")?.contains(document.activeElement);
    for (const box of [...boxes(), matchingBox()]) if (box) box.checked = false;
    show();
    // The buttons are gone now.
    if (hadFocus) [pageBox(), boxes()[0]].find((box) => box?.checkVisibility())?.focus();
  }

  document.addEventListener("change", ({ target }) => {
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
  document.addEventListener("reset", (event) => {
    if (event.target.id !== "bulk-form") return;
    event.preventDefault();
    clear();
  });
  document.addEventListener("selection-done", clear);
  for (const name of ["htmx:after:swap", "htmx:afterSwap"]) document.addEventListener(name, show);
  show();
})();
