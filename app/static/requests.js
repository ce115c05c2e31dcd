/* What becomes of a request: whether the answer is ours at all, whose session it was for (sessions.js, which comes before),
   and when to ask again (polling). Pages work without it. For a root, as in app.js; htmx 4 and htmx 2 name their events differently, and a host page may bring
   either. */
"use strict";

(() => {
  const SHORTEST_PAUSE = 2000;
  const LONGEST_PAUSE = 60_000;
  // A page that nobody has touched for so long asks more slowly.
  const IDLE_AFTER = 10 * 60_000;
  const IDLE_PAUSE = 30_000;
  // Of what asks by itself, in milliseconds. Otherwise a network that swallows everything would not be noticed.
  const PATIENCE = 20_000;
  // What is answered with a file.
  const FILE = "a[download], button[data-download]";
  const REFRESHING = "[hx-trigger*=live-tick]";
  const TEXT = "input:not([type=hidden], [type=checkbox], [type=radio], [type=color], [type=submit]), textarea";

  function attach(root, signal, session) {
    const byId = (id) => root.getElementById(id);
    const on = (name, listener, capture = false) => root.addEventListener(name, listener, { capture, signal });
    const dialog = () => byId("dialog");

    const isPersons = (cause) => ["click", "submit"].includes(cause?.type);
    const isRepeated = (cause) => Boolean(cause?.detail?.isRepeated);
    function tell(id, isAsked, fill) {
      root.dispatchEvent(new CustomEvent("show-notice", { detail: { id, isAsked, fill } }));
    }

    function clearNotices(which) {
      root.dispatchEvent(new CustomEvent("clear-notices", { detail: which }));
    }

    const who = importedClientsWho(root, session, { tell, showConnection, clear: clearNotices });

    // Asking again

    // What asks by itself and was not answered. It asks again until it is, also if it would have asked only once.
    const unanswered = new Set();
    let pause = SHORTEST_PAUSE;
    let timer;
    let touchedAt = Date.now();
    const isIdle = () => Date.now() - touchedAt >= IDLE_AFTER;

    function plan() {
      clearTimeout(timer);
      if (!signal?.aborted) timer = setTimeout(tick, isIdle() ? Math.max(pause, IDLE_PAUSE) : pause);
    }

    // (htmx could ask only while somebody looks, but with an expression, which the Content-Security-Policy forbids.)
    function tick() {
      plan();
      if (document.hidden) return;
      for (const live of new Set([...root.querySelectorAll("[data-live]"), ...unanswered])) {
        if (!live.isConnected) unanswered.delete(live);
        else if (!live.matches(".htmx-request")) live.dispatchEvent(new CustomEvent("live-tick"));
      }
    }

    function tickAtOnce() {
      pause = SHORTEST_PAUSE;
      tick();
    }

    function onTouched() {
      const wasIdle = isIdle();
      touchedAt = Date.now();
      if (wasIdle) tickAtOnce();
    }

    function onAnswered({ source, cause, status }) {
      if (status >= 400 && !isPersons(cause)) return;
      unanswered.delete(source);
      showConnection(true);
      who.onAnswered();
      clearNotices(isPersons(cause) ? "[data-notice]" : "[data-until-answered]");
      if (pause === SHORTEST_PAUSE) return;
      pause = SHORTEST_PAUSE;
      plan();
    }

    // After what a person pressed, all that refreshes itself shows what came of it. Several may fail at once: that is one
    // failure.
    let failedAt = -Infinity;

    function askLater({ source, cause }) {
      // A search is asked again only where it was not answered itself.
      const shown = `${REFRESHING}:not(form)`;
      const asking = isPersons(cause) ? root.querySelectorAll(shown) : [source].filter((it) => it.matches(REFRESHING));
      for (const element of asking) unanswered.add(element);
      if (performance.now() - failedAt < SHORTEST_PAUSE / 2) return;
      failedAt = performance.now();
      pause = Math.min(pause * 2, LONGEST_PAUSE);
      plan();
    }

    // Said once, and nobody's place is taken: whoever types goes on typing.
    function showConnection(isThere) {
      const status = byId("connection");
      if (!status || isThere === !status.textContent) return;
      if (isThere) status.hidePopover();
      else status.showPopover();
      status.textContent = isThere ? "" : status.dataset.words;
    }

    // No answer of ours: nobody can know what was done.
    function onLost(answer) {
      const { source, cause, method } = answer;
      askLater(answer);
      // Going back is a request of the whole page.
      if (!isPersons(cause) && source !== document.body) showConnection(false);
      else if (method.toUpperCase() === "GET") tell("not-loaded-notice", true);
      else tellUnknown(source.closest("form")?.querySelector("input[type=file]")?.files[0]);
    }

    // A file that was changed or moved after it was chosen cannot be read any more, and so not be sent.
    async function tellUnknown(file) {
      // One that is gone may also look as if it were empty.
      const isReadable = !file || (file.size > 0 && await file.arrayBuffer().then(() => true, () => false));
      tell(isReadable ? "unknown-outcome-notice" : "stale-file-notice", true);
    }

    // Once only.
    function repeat(source, cause) {
      if (!source.isConnected || isRepeated(cause)) return;
      const detail = { isRepeated: true };
      if (source.matches(FILE)) download(source, new CustomEvent("click", { detail }));
      else if (!isPersons(cause)) source.dispatchEvent(new CustomEvent("live-tick", { detail }));
      else source.dispatchEvent(new CustomEvent(cause.type, { detail, bubbles: true, cancelable: true }));
    }

    const isTyped = (field) => (field.type === "file" ? field.files.length > 0
      : dialog()?.contains(field) ? field.value : field.value !== field.defaultValue);
    // What would be lost with the page: something typed, a question that is open, what is ticked.
    const holdsWork = () => [...root.querySelectorAll(TEXT)].some(isTyped)
      || root.querySelector("#dialog[open], [form=bulk-form]:checked");

    // Every answer

    // Whether it goes on to htmx. `answer` is { source, cause, method, status, header(name) }.
    function isGood(answer) {
      const { source, cause, status, header } = answer;
      const isAsked = isPersons(cause);
      const again = () => repeat(source, cause);
      if (!header("X-Imported-Clients")) {
        onLost(answer);
      } else if (status === 401 && (session || holdsWork())) {
        showConnection(true);
        askLater(answer);
        who.onNobody(header("HX-Redirect"), isAsked, again);
      } else if (who.isAnother(header("X-Signed-In-As"))) {
        showConnection(true);
        askLater(answer);
        who.renew(isAsked, again);
      } else if (header("X-CSRF-Outdated") && !isRepeated(cause)) {
        who.renew(isAsked, again);
      } else if (!isAsked && (status >= 500 || status === 429)) {
        onLost(answer);
      } else {
        if (!isAsked && status >= 400) askLater(answer);
        return true;
      }
      return false;
    }

    // htmx 4
    const of4 = (ctx) => ({
      source: ctx.sourceElement,
      cause: ctx.sourceEvent,
      method: ctx.request.method,
      status: ctx.response?.status,
      header: (name) => ctx.response?.headers.get(name),
    });
    on("htmx:config:request", ({ detail: { ctx } }) => {
      if (!isPersons(ctx.sourceEvent)) ctx.request.timeout = PATIENCE;
    });
    on("htmx:before:response", (event) => {
      const { ctx } = event.detail;
      if (isGood(of4(ctx))) return;
      event.preventDefault();
      ctx.hx = {};
    });
    on("htmx:after:request", ({ detail: { ctx } }) => onAnswered(of4(ctx)));
    // Also where the answer was cut short.
    on("htmx:error", ({ detail: { ctx } }) => {
      if (!ctx?.request || ctx.text !== undefined) return;
      ctx.hx = {};
      onLost(of4(ctx));
    });

    // htmx 2
    const of2 = ({ requestConfig, xhr }) => ({
      source: requestConfig.elt,
      cause: requestConfig.triggeringEvent,
      method: requestConfig.verb,
      status: xhr.status,
      header: (name) => xhr.getResponseHeader(name),
    });
    on("htmx:configRequest", ({ detail }) => {
      if (!isPersons(detail.triggeringEvent)) detail.timeout = PATIENCE;
    });
    // Where it takes a request back it would complain in the console, or, older, not know in a shadow root whose it is: so
    // it does not hear of that, and the answer is passed over.
    const pending = new WeakMap();
    const takenBack = new WeakSet();
    on("htmx:beforeRequest", ({ detail }) => pending.set(detail.elt, detail.xhr));
    on("htmx:abort", ({ target }) => { if (pending.has(target)) takenBack.add(pending.get(target)); });
    on("htmx:beforeOnLoad", (event) => {
      const answer = of2(event.detail);
      if (!takenBack.has(event.detail.xhr) && isGood(answer)) onAnswered(answer);
      else event.preventDefault();
    });
    for (const name of ["htmx:sendError", "htmx:timeout"]) on(name, ({ detail }) => onLost(of2(detail)));

    // A file

    // As htmx would ask, so that the page stays whatever is answered, and a session that has ended is renewed here too. In a
    // frame on another site a link to a file has no cookie, and the page that tells why there is none may not be shown.
    const downloading = new Set();

    async function download(source, cause) {
      if (downloading.has(source)) return;
      downloading.add(source);
      root.dispatchEvent(new CustomEvent("file-asked", { detail: source }));
      await fetchFile(source, cause);
      downloading.delete(source);
      root.dispatchEvent(new CustomEvent("file-answered", { detail: source }));
    }

    async function fetchFile(source, cause) {
      const { form } = source;
      const method = form ? "POST" : "GET";
      const asked = form ? { method, body: new FormData(form) } : { method };
      asked.headers = { ...who.headers(), ...form && { "HX-Target": "import-result", "X-CSRFToken": who.token() } };
      const answer = await fetch(form ? source.formAction : source.href, asked).catch(() => null);
      const told = { source, cause, method, status: answer?.status, header: (name) => answer?.headers.get(name) };
      if (!isGood(told)) return;
      if (told.status === 401) {
        location.assign(told.header("HX-Redirect"));
        return;
      }
      clearNotices("[data-notice]");
      const [, name] = told.header("Content-Disposition")?.match(/filename="([^"]+)"/) ?? [];
      const body = await answer.blob().catch(() => null);
      if (!body) {
        onLost(told);
      } else if (name) {
        const href = URL.createObjectURL(body);
        Object.assign(document.createElement("a"), { href, download: name }).click();
        setTimeout(() => URL.revokeObjectURL(href), 60_000);
      } else {
        root.querySelector(told.header("HX-Retarget") ?? "#import-result").innerHTML = await body.text();
      }
    }

    on("click", (event) => {
      // On a page of our own a form goes on by itself (presses.js).
      const source = event.target.closest(session ? FILE : "a[download]");
      if (!source || event.defaultPrevented) return;
      event.preventDefault();
      download(source, event);
    });

    // A form without htmx is sent once it is known who is signed in (presses.js).
    on("form-sending", ({ detail }) => { detail.check = (goOn) => who.renew(true, goOn); });
    on("click", ({ target }) => { if (target.closest("[data-go-on]")) who.goOnAsOther(); });
    window.addEventListener("online", tickAtOnce, { signal });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return;
      touchedAt = Date.now();
      tickAtOnce();
    }, { signal });
    for (const name of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      document.addEventListener(name, onTouched, { signal, capture: true, passive: true });
    }
    signal?.addEventListener("abort", () => clearTimeout(timer));
    plan();
  }

  if ("embedded" in document.currentScript.dataset) (globalThis.importedClients ??= []).push(attach);
  else attach(document);
})();
