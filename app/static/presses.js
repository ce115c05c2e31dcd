/* What a person presses: it is one action however often it is pressed, and says that it is being done. Pages work without
   it. For a root, as in app.js; htmx 4 and htmx 2 name their events differently. */
"use strict";

(() => {
  // An answer within this time seems to come at once, in milliseconds.
  const UNNOTICED = 300;
  // A form that leads to another page is free again after it: somebody may have stopped the page.
  const PATIENCE = 20_000;
  const BUTTON = "button[type=submit], [role=button]";
  // What is answered with a file, so the page stays.
  const FILE = "button[data-download]";
  const PRESSED = ["click", "submit", "input", "change"];

  // Inside another page there is a `session`, and every form is htmx's.
  function attach(root, signal, session) {
    const byId = (id) => root.getElementById(id);
    const on = (name, listener, capture = false) => root.addEventListener(name, listener, { capture, signal });
    const page = () => root.querySelector(".surface") ?? document.body;

    // What is waited for: which element asked, what ends the wait, and whether there is an answer already.
    const waits = new Map();

    function begin(source, button, target, isAnswered) {
      end(source);
      const timer = setTimeout(() => waits.set(source, { isAnswered, stop: show(button, target) }), UNNOTICED);
      waits.set(source, { isAnswered, stop: () => clearTimeout(timer) });
    }

    function end(source) {
      waits.get(source)?.stop();
      waits.delete(source);
      if (waits.size) return;
      for (const box of [page(), byId("dialog"), byId("panel")]) box?.removeAttribute("data-waiting");
    }

    // What an answer has taken out of the page does not tell that it has ended.
    function endForGone() {
      for (const [source, { isAnswered }] of waits) if (!source.isConnected && isAnswered?.()) end(source);
    }

    // A line at the top, and on the button what it does. Returns what takes both away again.
    function show(button, target) {
      const box = [byId("dialog"), byId("panel")].find((one) => one?.open) ?? page();
      box.setAttribute("data-waiting", "");
      target?.setAttribute("aria-busy", "true");
      const { busy } = button?.dataset ?? {};
      const words = busy && [...button.childNodes];
      if (busy) button.replaceChildren(busy);
      return () => {
        target?.removeAttribute("aria-busy");
        if (busy && button.textContent === busy) button.replaceChildren(...words);
      };
    }

    function onRequest(source, cause, target, isAnswered) {
      if (!PRESSED.includes(cause?.type)) return;
      const button = cause.submitter ?? (source.matches("button") ? source : null);
      begin(source, button, target, isAnswered);
    }

    // htmx 4
    on("htmx:before:request", ({ detail: { ctx } }) => {
      onRequest(ctx.sourceElement, ctx.sourceEvent, ctx.target, () => ctx.status !== "issuing");
    });
    on("htmx:finally:request", ({ detail: { ctx } }) => end(ctx.sourceElement));
    on("htmx:after:swap", endForGone);
    // htmx 2
    on("htmx:beforeRequest", ({ detail: { requestConfig: { elt, triggeringEvent }, target, xhr } }) => {
      onRequest(elt, triggeringEvent, target, () => xhr.readyState === XMLHttpRequest.DONE);
    });
    on("htmx:afterRequest", ({ detail }) => end(detail.requestConfig.elt));
    on("htmx:afterSwap", endForGone);
    // A file, which the page fetches itself (requests.js)
    on("file-asked", ({ detail }) => begin(detail));
    on("file-answered", ({ detail }) => end(detail));

    // Forms without htmx

    // They lead to another page, and what was typed would be lost where that one cannot come. So whoever knows about
    // sessions may take the form first, and let it go on later.
    const busy = new Map();
    let passing;

    function beBusy(form, submitter) {
      busy.set(form, setTimeout(beFree, PATIENCE, form));
      form.setAttribute("aria-busy", "true");
      begin(form, submitter);
    }

    function beFree(form) {
      clearTimeout(busy.get(form));
      busy.delete(form);
      form.removeAttribute("aria-busy");
      end(form);
    }

    async function send(form, submitter, check) {
      let isSent = false;
      await check(() => {
        isSent = !submitter?.matches(FILE);
        passing = form;
        form.requestSubmit(submitter?.form === form ? submitter : undefined);
        passing = undefined;
      });
      if (!isSent) beFree(form);
    }

    on("submit", (event) => {
      const { target: form, submitter } = event;
      if (form === passing || session || event.defaultPrevented || form.method !== "post") return;
      if (busy.has(form)) {
        event.preventDefault();
        return;
      }
      beBusy(form, submitter);
      const detail = {};
      if (form.closest("main")) root.dispatchEvent(new CustomEvent("form-sending", { detail }));
      if (detail.check) {
        event.preventDefault();
        send(form, submitter, detail.check);
      }
    });
    // Somebody came back to the page as it was left.
    window.addEventListener("pageshow", () => { for (const form of busy.keys()) beFree(form); }, { signal });

    // One press

    // The second press of a double click is none of its own, also where another button has come under it. Nor is Enter
    // while it is held down.
    on("click", (event) => {
      if (!(event.detail > 1) || !event.target.closest(BUTTON)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
    }, true);
    on("keydown", (event) => {
      if (event.repeat && event.key === "Enter" && !event.target.closest("textarea")) event.preventDefault();
    }, true);
  }

  if ("embedded" in document.currentScript.dataset) (globalThis.importedClients ??= []).push(attach);
  else attach(document);
})();
