/* What HTML and htmx alone cannot do: open and close the dialog and the panel, give the focus back, show times in the
   viewer's zone, show a password, print. Every page works without it.

   All of it belongs to a root: the document of our own page, or the shadow root in which the tab stands inside another
   page. There ids may be the other page's too, and events that leave the root no longer say where they came from: so
   everything is looked up in the root, and listened for at it. */
"use strict";

(() => {
  const TEXT = "input:not([type=checkbox], [type=radio], [type=file], [type=color]), textarea";

  const PRESSED = "[data-close-dialog], [data-opener], [data-show-password], [data-theme-switch], [data-dismiss], [data-print]";

  // `signal` ends it, when the root has gone.
  function attach(root, signal) {
    // Where the focus goes when the dialog, or the panel, has closed, or when a swap has taken away what had it; best
    // first. Ids, since the table may be fetched anew meanwhile.
    const focusAfterwards = { dialog: [], panel: [], swap: [], told: [] };

    const byId = (id) => root.getElementById(id);
    const dialog = () => byId("dialog");
    const panel = () => byId("panel");
    const on = (name, listener, capture = false) => root.addEventListener(name, listener, { capture, signal });

    function onClosed(name) {
      byId(`${name}-content`).replaceChildren();
      byId(`${name}-alert`).replaceChildren();
      if (name === "dialog") showTold(name);
      if (!root.querySelector("#page-alert [data-alert]")) giveFocusBack(name);
    }

    function rememberFocus(opener) {
      const name = opener.getAttribute("hx-target") === "#panel-content" ? "panel" : "dialog";
      focusAfterwards[name] = placesNear(opener, opener.dataset.opener);
    }

    // The element itself; its row, which may have lost its buttons; the same button of the row after or before it,
    // which may have lost the row; what stands in for it; what is always there.
    function placesNear(element, id = element.id) {
      const row = element.closest("tr[data-client-id]");
      const [kind] = id.split("-");
      const rows = [row?.nextElementSibling, row?.previousElementSibling].filter((near) => near?.dataset.clientId);
      const near = rows.flatMap(({ dataset }) => [`${kind}-${dataset.clientId}`, `history-${dataset.clientId}`]);
      return [id, row && `history-${row.dataset.clientId}`, ...near, element.dataset.fallback, "add-client", "filter"];
    }

    // What is done next makes an older sentence untrue.
    function clearAlerts() {
      for (const id of ["page-alert", "page-status", "dialog-alert", "panel-alert"]) byId(id)?.replaceChildren();
    }

    // What was done is said over the page, so that no row moves away from under the pointer. Put there once more, since
    // nothing is read out that came while a dialog was open.
    function showTold(name) {
      const told = root.querySelector("#page-status > [data-told]:not([popover])");
      if (!told?.showPopover || dialog()?.open || !dialog()) return;
      focusAfterwards.told = focusAfterwards[name];
      told.remove();
      told.popover = "manual";
      byId("page-status").append(told);
      told.showPopover();
    }

    function dismiss(told) {
      told.remove();
      if (isFocusLost()) giveFocusBack("told");
    }

    function giveFocusBack(name, options) {
      const id = focusAfterwards[name].find((candidate) => candidate && byId(candidate)?.checkVisibility());
      if (id) byId(id).focus(options);
    }

    // Then nothing takes the focus away.
    const isTyping = () => Boolean(root.activeElement?.matches(TEXT));

    // Nothing on the whole page has it: what had it was taken away.
    const isFocusLost = () => document.activeElement === document.body;

    // Whatever was swapped somewhere on the page calls this, a poll as well: only what is new is opened and gets the
    // focus, or the poll would take it out of the field where somebody types, and open again what is just closing.
    const seen = new WeakSet();

    function isNew(element) {
      if (!element || seen.has(element)) return false;
      seen.add(element);
      return true;
    }

    // Whether the answer is to what a refreshing part asked before somebody turned to another one.
    function isOutdated({ ctx }) {
      const address = ctx?.target === ctx?.sourceElement && ctx?.sourceElement.getAttribute("hx-get");
      if (!address) return false;
      const { pathname, search } = new URL(address, location.href);
      return ctx.request.action !== pathname + search;
    }

    // Where what is being swapped in begins, if what was pressed names that. After the swap it may be gone.
    let beginning;

    function onSwap(event) {
      if (isOutdated(event.detail)) {
        event.preventDefault();
        return;
      }
      const source = event.detail.ctx?.sourceElement ?? event.detail.requestConfig?.elt;
      beginning = source?.dataset.thenAt;
      const { activeElement } = root;
      focusAfterwards.swap = activeElement && activeElement !== document.body ? placesNear(activeElement) : [];
    }

    function onSwapped({ detail }) {
      const cause = detail.ctx?.sourceEvent ?? detail.requestConfig?.triggeringEvent;
      const isAsked = ["click", "submit"].includes(cause?.type);
      const box = dialog();
      const isNewDialog = isNew(byId("dialog-content")?.firstElementChild);
      if (isNewDialog && !box.open) {
        byId("add-client-menu")?.hidePopover?.();
        box.showModal();
      }
      const side = panel();
      const toldInDialog = box?.querySelector("[data-told-on-page]");
      if (isNew(toldInDialog)) byId("page-status").replaceChildren(...toldInDialog.children);
      if (isAsked) showTold("swap");
      if (isNew(byId("panel-content")?.firstElementChild) && !side.open) side.showModal();
      const summary = box?.querySelector("[data-error-summary]");
      if (isNew(summary)) summary.focus();
      else if (isNewDialog) box.querySelector("[autofocus], [data-autofocus]")?.focus();
      const alert = root.querySelector("#page-alert [data-alert], #dialog-alert [data-alert]");
      if (isNew(alert) && isAsked && !isTyping()) {
        // A sentence on the page would stand behind the panel.
        if (alert.closest("#page-alert")) side?.close();
        alert.focus();
      }
      if (!box?.open && isFocusLost()) {
        // What went by itself does not scroll either.
        const options = { preventScroll: !isAsked };
        if (side?.open) byId("close-panel")?.focus(options);
        else giveFocusBack("swap", options);
      }
      if (isAsked && (detail.ctx?.target ?? detail.target)?.id === "clients-view") showSearch();
      if (isAsked && beginning) beginAt(byId(beginning));
      beginning = undefined;
      showLocalTimes();
      offerExtras();
    }

    // What was typed stays in the field when the part around it changes. A view that was asked for otherwise has a term of
    // its own, or none.
    function showSearch() {
      const field = byId("search-term");
      if (field && field !== root.activeElement) field.value = field.defaultValue;
    }

    // The next page of a table begins at its top, for the eye and for the keyboard.
    function beginAt(caption) {
      caption.closest(".table-box").scrollIntoView();
      caption.focus({ preventScroll: true });
    }

    // Moments in the viewer's zone: as the text itself, or as what a relative one says on hover and focus.
    function showLocalTimes() {
      const { lang } = root.querySelector(".surface") ?? document.documentElement;
      const format = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "short" });
      for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
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
      for (const button of root.querySelectorAll("[data-show-password], [data-theme-switch], [data-print], [popover] > [data-dismiss]")) button.hidden = false;
      for (const picker of root.querySelectorAll("[data-colour-of]")) {
        picker.hidden = false;
        showPicked(picker, byId(picker.dataset.colourOf));
      }
    }

    function showPicked(picker, { value }) {
      if (/^#[0-9a-f]{6}$/i.test(value)) picker.value = value;
    }

    // The choice is a cookie for where we are mounted, so that the server already sends the next page in the right
    // colours.
    function switchTheme(path) {
      const page = document.documentElement;
      const isDark = page.dataset.theme
        ? page.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      page.dataset.theme = isDark ? "light" : "dark";
      document.cookie = `theme=${page.dataset.theme}; path=${path}; max-age=31536000; samesite=lax`;
    }

    function togglePassword(button) {
      const field = byId(button.dataset.showPassword);
      const shown = field.type === "password";
      field.type = shown ? "text" : "password";
      button.setAttribute("aria-pressed", String(shown));
    }

    // A sentence where the eye is. `isAsked`: it answers what a person has pressed.
    let beforeNotice;

    function showNotice({ id, isAsked, fill }) {
      const top = [dialog(), panel()].find((box) => box?.open);
      const slot = byId(`${top?.id ?? "page"}-alert`);
      if (!isAsked && slot.querySelector(`[data-notice=${id}]`)) return;
      const { activeElement } = root;
      if (isFocusLost()) beforeNotice = byId("add-client") ?? byId("filter");
      else if (!activeElement?.closest("[data-notice]")) beforeNotice = activeElement;
      const [notice] = byId(id).content.cloneNode(true).children;
      notice.dataset.notice = id;
      fill?.(notice);
      slot.replaceChildren(notice);
      seen.add(notice);
      if (isAsked && !isTyping()) notice.focus();
    }

    // Whoever is in it is then where they were before.
    function clearNotices(which) {
      for (const notice of root.querySelectorAll(which)) {
        const hadFocus = notice.contains(root.activeElement);
        notice.remove();
        if (hadFocus && isFocusLost()) beforeNotice?.focus({ preventScroll: true });
      }
    }

    on("click", (event) => {
      const target = event.target.closest(PRESSED);
      if (!target) return;
      if (target.dataset.opener) {
        rememberFocus(target);
        clearAlerts();
      } else if (target.dataset.showPassword) {
        togglePassword(target);
      } else if ("dismiss" in target.dataset) {
        dismiss(target.parentElement);
      } else if ("themeSwitch" in target.dataset) {
        switchTheme(target.dataset.themeSwitch);
      } else if ("print" in target.dataset) {
        print();
      } else if (target.closest("dialog")) {
        event.preventDefault();
        target.closest("dialog").close();
      }
    });

    // A colour may be typed or picked: the one follows the other.
    on("input", ({ target }) => {
      if (target.dataset.colourOf) byId(target.dataset.colourOf).value = target.value;
      const picker = root.querySelector(`[data-colour-of="${target.id}"]`);
      if (target.id && picker) showPicked(picker, target);
    });

    on("submit", (event) => {
      clearAlerts();
      if (!event.target.matches("[popover]")) return;
      event.target.dataset.sent = "";
      event.target.hidePopover();
      giveToOpener(event.target);
    });

    // Chromium does so itself, but not in a shadow root.
    function giveToOpener(popover) {
      if (!root.activeElement || popover.contains(root.activeElement)) root.querySelector(`[popovertarget="${popover.id}"]`)?.focus();
    }

    // A link that says it is a button is pressed as one.
    on("keydown", (event) => {
      if (event.key !== " " || !event.target.matches("a[role=button]")) return;
      event.preventDefault();
      event.target.click();
    });

    // What was ticked and not applied, or applied and cleared since, is no filter: the panel opens with those that hold. But
    // what was sent and not answered is still there. (The answer brings the panel anew.)
    on("beforetoggle", (event) => {
      if (event.newState === "open" && event.target.matches("form[popover]:not([data-sent])")) event.target.reset();
    }, true);

    // What is ticked next is not to lie under a sentence about what was done before.
    on("change", () => root.querySelector("#page-status > [popover]")?.remove());

    // A file may also be dropped. The field itself takes it, so everything else is as if it had been chosen.
    for (const name of ["dragover", "drop"]) {
      on(name, (event) => {
        const field = event.target.closest?.("[data-dropzone]")?.querySelector("input[type=file]");
        if (!field || !event.dataTransfer.types.includes("Files")) return;
        event.preventDefault();
        if (name !== "drop") return;
        field.files = event.dataTransfer.files;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      });
    }

    // htmx 4 and htmx 2 name their events differently; a host page may bring either.
    for (const name of ["htmx:before:swap", "htmx:beforeSwap"]) on(name, onSwap);
    for (const name of ["htmx:after:swap", "htmx:afterSwap"]) on(name, onSwapped);
    on("dialog-close", () => dialog()?.close());
    on("show-notice", ({ detail }) => showNotice(detail));
    on("clear-notices", ({ detail }) => clearNotices(detail));

    // On the root, since going back brings other dialogs.
    on("close", ({ target }) => {
      if ([dialog(), panel()].includes(target)) onClosed(target.id);
    }, true);
    showLocalTimes();
    offerExtras();
  }

  // Inside another page the loader says to which root.
  if ("embedded" in document.currentScript.dataset) (globalThis.importedClients ??= []).push(attach);
  else attach(document);
})();
