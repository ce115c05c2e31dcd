/* What HTML and htmx alone cannot do: open and close the dialog and the panel, give the focus back, show times in the
   viewer's zone, show a password. Every page works without it. */
"use strict";

(() => {
  // Where the focus goes when the dialog, or the panel, has closed, or when a swap has taken away what had it; best
  // first. Ids, since the table may be fetched anew meanwhile.
  const focusAfterwards = { dialog: [], panel: [], swap: [] };

  const dialog = () => document.getElementById("dialog");
  const panel = () => document.getElementById("panel");

  function closeDialog() {
    dialog()?.close();
  }

  function onClosed(name) {
    document.getElementById(`${name}-content`).replaceChildren();
    document.getElementById(`${name}-alert`).replaceChildren();
    if (!document.querySelector("#page-alert [data-alert]")) giveFocusBack(name);
  }

  function rememberFocus(opener) {
    const name = opener.getAttribute("hx-target") === "#panel-content" ? "panel" : "dialog";
    focusAfterwards[name] = placesNear(opener, opener.dataset.opener);
  }

  // The element itself; its row, which may have lost its buttons; the same button of the row after or before it, which
  // may have lost the row; what stands in for it; what is always there.
  function placesNear(element, id = element.id) {
    const row = element.closest("tr[data-client-id]");
    const [kind] = id.split("-");
    const rows = [row?.nextElementSibling, row?.previousElementSibling].filter((near) => near?.dataset.clientId);
    const near = rows.flatMap(({ dataset }) => [`${kind}-${dataset.clientId}`, `history-${dataset.clientId}`]);
    return [id, row && `history-${row.dataset.clientId}`, ...near, element.dataset.fallback, "add-client", "filter"];
  }

  // What is done next makes an older sentence untrue.
  function clearAlerts() {
    for (const id of ["page-alert", "page-status", "dialog-alert", "panel-alert"]) {
      document.getElementById(id)?.replaceChildren();
    }
  }

  function giveFocusBack(name) {
    const id = focusAfterwards[name].find((candidate) => candidate && document.getElementById(candidate)?.checkVisibility());
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

  function onSwap() {
    const { activeElement } = document;
    focusAfterwards.swap = activeElement && activeElement !== document.body ? placesNear(activeElement) : [];
  }

  function onSwapped() {
    const box = dialog();
    const isNewDialog = isNew(document.getElementById("dialog-content")?.firstElementChild);
    if (isNewDialog && !box.open) {
      document.getElementById("add-client-menu")?.hidePopover?.();
      box.showModal();
    }
    const side = panel();
    if (isNew(document.getElementById("panel-content")?.firstElementChild) && !side.open) side.showModal();
    const summary = box?.querySelector("[data-error-summary]");
    if (isNew(summary)) summary.focus();
    else if (isNewDialog) box.querySelector("[autofocus]")?.focus();
    const alert = document.querySelector("#page-alert [data-alert], #dialog-alert [data-alert]");
    if (isNew(alert)) {
      // A sentence on the page would stand behind the panel.
      if (alert.closest("#page-alert")) side?.close();
      alert.focus();
    }
    if (!box?.open && document.activeElement === document.body) {
      if (side?.open) document.getElementById("close-panel")?.focus();
      else giveFocusBack("swap");
    }
    showLocalTimes();
    offerExtras();
  }

  // Moments in the viewer's zone: as the text itself, or as what a relative one says on hover and focus.
  function showLocalTimes() {
    const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
    for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
      const local = format.format(new Date(time.dateTime));
      if (time.dataset.exact) {
        time.dataset.exact = local;
        time.title = local;
      } else {
        time.title = time.textContent;
        time.textContent = local;
      }
    }
  }

  // What works with this script only is hidden without it.
  function offerExtras() {
    for (const button of document.querySelectorAll("[data-show-password], [data-theme-switch]")) button.hidden = false;
    for (const picker of document.querySelectorAll("[data-colour-of]")) {
      picker.hidden = false;
      showPicked(picker, document.getElementById(picker.dataset.colourOf));
    }
  }

  function showPicked(picker, { value }) {
    if (/^#[0-9a-f]{6}$/i.test(value)) picker.value = value;
  }

  // The choice is a cookie, so that the server already sends the next page in the right colours.
  function switchTheme() {
    const root = document.documentElement;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax`;
  }

  function togglePassword(button) {
    const field = document.getElementById(button.dataset.showPassword);
    const shown = field.type === "password";
    field.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", String(shown));
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-close-dialog], [data-opener], [data-show-password], [data-theme-switch]");
    if (!target) return;
    if (target.dataset.opener) {
      rememberFocus(target);
      clearAlerts();
    } else if (target.dataset.showPassword) {
      togglePassword(target);
    } else if ("themeSwitch" in target.dataset) {
      switchTheme();
    } else if (target.closest("dialog")) {
      event.preventDefault();
      target.closest("dialog").close();
    }
  });

  // A colour may be typed or picked: the one follows the other.
  document.addEventListener("input", ({ target }) => {
    if (target.dataset.colourOf) document.getElementById(target.dataset.colourOf).value = target.value;
    const picker = document.querySelector(`[data-colour-of="${target.id}"]`);
    if (target.id && picker) showPicked(picker, target);
  });

  document.addEventListener("submit", (event) => {
    clearAlerts();
    if (event.target.matches("[popover]")) event.target.hidePopover();
  });

  // A link that says it is a button is pressed as one.
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || !event.target.matches("a[role=button]")) return;
    event.preventDefault();
    event.target.click();
  });

  // What was ticked and not applied, or applied and cleared since, is no filter: the panel opens with those that hold.
  document.addEventListener("beforetoggle", (event) => {
    if (event.newState === "open" && event.target.matches("form[popover]")) event.target.reset();
  }, true);

  // What may change by itself is asked about again, but not while nobody looks. (htmx could only do the latter
  // with an expression, which the Content-Security-Policy rightly forbids.)
  setInterval(() => {
    if (document.hidden) return;
    for (const live of document.querySelectorAll("[data-live]")) live.dispatchEvent(new CustomEvent("live-tick"));
  }, 2000);

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
  for (const name of ["htmx:before:swap", "htmx:beforeSwap"]) document.addEventListener(name, onSwap);
  for (const name of ["htmx:after:swap", "htmx:afterSwap"]) document.addEventListener(name, onSwapped);
  document.addEventListener("dialog-close", closeDialog);
  for (const name of ["htmx:error", "htmx:sendError"]) {
    document.addEventListener(name, () => {
      const top = [dialog(), panel()].find((box) => box?.open);
      const slot = document.getElementById(`${top?.id ?? "page"}-alert`);
      if (!slot) return;
      const isUpload = dialog()?.open && document.getElementById("import-form");
      const notice = document.getElementById(isUpload ? "stale-file-notice" : "offline-notice").content.cloneNode(true);
      slot.replaceChildren(notice);
      slot.firstElementChild.focus();
    });
  }

  // On the document, since going back brings other dialogs.
  document.addEventListener("close", ({ target }) => {
    if ([dialog(), panel()].includes(target)) onClosed(target.id);
  }, true);
  showLocalTimes();
  offerExtras();
})();
