/* What HTML and htmx alone cannot do: open and close the dialog, give the focus back, show times in the viewer's
   zone, show a password. Every page works without it. */
"use strict";

(() => {
  let opener = null; // id of what opened the dialog; an id, since the table may be fetched anew meanwhile

  const dialog = () => document.getElementById("dialog");

  function closeDialog() {
    dialog()?.close();
  }

  function onDialogClosed() {
    document.getElementById("dialog-content").replaceChildren();
    document.getElementById("dialog-alert").replaceChildren();
    (document.getElementById(opener) ?? document.getElementById("add-client"))?.focus();
  }

  function onSwapped() {
    const box = dialog();
    if (box && document.getElementById("dialog-content").childElementCount) {
      if (!box.open) {
        document.getElementById("add-client-menu")?.hidePopover?.();
        box.showModal();
      }
      (box.querySelector("[data-error-summary]") ?? box.querySelector("[autofocus]"))?.focus();
    }
    document.querySelector("#page-alert [data-alert], #dialog-alert [data-alert]")?.focus();
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
      opener = target.dataset.opener;
    } else if (target.dataset.showPassword) {
      togglePassword(target);
    } else if (dialog()?.open) {
      event.preventDefault();
      closeDialog();
    }
  });

  // htmx 4 and htmx 2 name their events differently; a host page may bring either.
  for (const name of ["htmx:after:swap", "htmx:afterSwap"]) document.addEventListener(name, onSwapped);
  document.addEventListener("dialog-close", closeDialog);
  for (const name of ["htmx:error", "htmx:sendError"]) {
    document.addEventListener(name, () => {
      const slot = document.getElementById(dialog()?.open ? "dialog-alert" : "page-alert");
      if (!slot) return;
      const notice = document.getElementById("offline-notice").content.cloneNode(true);
      slot.replaceChildren(notice);
      slot.firstElementChild.focus();
    });
  }

  dialog()?.addEventListener("close", onDialogClosed);
  showLocalTimes();
  offerToShowPasswords();
})();
