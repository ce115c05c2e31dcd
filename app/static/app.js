/* What HTML and htmx alone cannot do: open and close the dialog, give the focus back, show times in the viewer's
   zone, show a password. Every page works without it. */
"use strict";

(() => {
  // Where the focus goes when the dialog has closed, best first: what opened it, or the row after a removed one.
  // Ids, since the table may be fetched anew meanwhile.
  let focusAfterwards = [];

  const dialog = () => document.getElementById("dialog");

  function closeDialog() {
    dialog()?.close();
  }

  function onDialogClosed() {
    document.getElementById("dialog-content").replaceChildren();
    document.getElementById("dialog-alert").replaceChildren();
    giveFocusBack();
  }

  function rememberFocus(opener) {
    const row = opener.closest("tr");
    const neighbour = (row?.nextElementSibling ?? row?.previousElementSibling)?.querySelector("[data-opener]");
    focusAfterwards = [opener.dataset.opener, neighbour?.id, "add-client"];
  }

  // What is done next makes an older sentence untrue.
  function clearAlerts() {
    for (const id of ["page-alert", "dialog-alert"]) document.getElementById(id)?.replaceChildren();
  }

  function giveFocusBack() {
    const id = focusAfterwards.find((candidate) => candidate && document.getElementById(candidate));
    if (id) document.getElementById(id).focus();
  }

  // Whatever was swapped somewhere on the page calls this, a poll as well: only what is new is opened and gets the
  // focus, or the poll would take it out of the field where somebody types, and open again what is just closing.
  const seen = new WeakSet();

  function isNew(element) {
    if (!element || seen.has(element)) return false;
    seen.add(element);
    return true;
  }

  function onSwapped() {
    const box = dialog();
    const isNewDialog = isNew(document.getElementById("dialog-content")?.firstElementChild);
    if (isNewDialog && !box.open) {
      document.getElementById("add-client-menu")?.hidePopover?.();
      box.showModal();
    }
    const summary = box?.querySelector("[data-error-summary]");
    if (isNew(summary)) summary.focus();
    else if (isNewDialog) box.querySelector("[autofocus]")?.focus();
    const alert = document.querySelector("#page-alert [data-alert], #dialog-alert [data-alert]");
    if (isNew(alert)) alert.focus();
    if (!box?.open && document.activeElement === document.body) giveFocusBack();
    showLocalTimes();
  }

  function showLocalTimes() {
    const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
      time.title = time.textContent;
      time.textContent = format.format(new Date(time.dateTime));
    }
  }

  function offerToShowPasswords() {
    for (const button of document.querySelectorAll("[data-show-password]")) {
      button.hidden = false;
    }
  }

  function togglePassword(button) {
    const field = document.getElementById(button.dataset.showPassword);
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-close-dialog], [data-opener], [data-show-password]");
    if (!target) return;
    if (target.dataset.opener) {
      rememberFocus(target);
      clearAlerts();
    } else if (target.dataset.showPassword) {
      togglePassword(target);
    } else if (dialog()?.open) {
      event.preventDefault();
      closeDialog();
    }
  });

  document.addEventListener("submit", clearAlerts);

  // A file may also be dropped. The field itself takes it, so everything else is as if it had been chosen.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(name, (event) => {
      const field = event.target.closest?.("[data-dropzone]")?.querySelector("input[type=file]");
      if (!field || !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      if (name === "drop") field.files = event.dataTransfer.files;
    });
  }

  // htmx 4 and htmx 2 name their events differently; a host page may bring either.
  for (const name of ["htmx:after:swap", "htmx:afterSwap"]) document.addEventListener(name, onSwapped);
  document.addEventListener("dialog-close", closeDialog);
  for (const name of ["htmx:error", "htmx:sendError"]) {
    document.addEventListener(name, () => {
      const slot = document.getElementById(dialog()?.open ? "dialog-alert" : "page-alert");
      if (!slot) return;
      const isUpload = dialog()?.open && document.getElementById("import-form");
      const notice = document.getElementById(isUpload ? "stale-file-notice" : "offline-notice").content.cloneNode(true);
      slot.replaceChildren(notice);
      slot.firstElementChild.focus();
    });
  }

  dialog()?.addEventListener("close", onDialogClosed);
  showLocalTimes();
  offerToShowPasswords();
})();
