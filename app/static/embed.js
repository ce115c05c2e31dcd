/* Inside a page of the host shell: what our fragments need of htmx, for the elements under our root alone, so that the
   page's own go on as they did. The htmx is the page's, 2 or 4, which name their events differently; ours where there is
   none, and in a frame. Brought by embed-loader.js, which does what it takes to have a session. */
"use strict";

(() => {
  const LONGEST_WAIT = 3000;
  // Seen by the page around us these would be about elements that it does not know. Not among them is htmx:abort: htmx 2
  // hears it at the page's body alone, and without it a list that was asked for again would be shown as it was before.
  const PRIVATE = [
    "htmx:confirm", "htmx:load", "htmx:error", "htmx:trigger",
    "htmx:configRequest", "htmx:beforeRequest", "htmx:beforeSend", "htmx:afterRequest", "htmx:beforeOnLoad",
    "htmx:afterOnLoad", "htmx:beforeSwap", "htmx:afterSwap", "htmx:afterSettle", "htmx:responseError", "htmx:sendError",
    "htmx:beforeProcessNode", "htmx:afterProcessNode", "htmx:timeout", "htmx:sendAbort",
    "htmx:config:request", "htmx:before:request", "htmx:after:request", "htmx:before:response", "htmx:response:error",
    "htmx:finally:request", "htmx:before:swap", "htmx:after:swap", "htmx:finally:swap", "htmx:before:settle",
    "htmx:after:settle", "htmx:before:process", "htmx:after:process",
  ];

  // The table, or the list of imports in its place.
  const shownList = (root) => root.querySelector("#imported-clients, #imports-list");

  function attach(root, signal, session) {
    const surface = root.querySelector(".surface");
    let htmx = window.htmx;

    const on = (name, listener) => root.addEventListener(name, listener, { signal });

    function mark(headers, method) {
      headers["X-Embedded"] = surface.dataset.embedding;
      if (method.toUpperCase() !== "GET") headers["X-CSRFToken"] = surface.dataset.csrf;
    }

    // A refreshing part must not take away what has just been pressed in it, or what a search is to change: its answer
    // would find nobody.
    function isInTheWay(source, target) {
      const asking = `.${htmx.config.requestClass}`;
      return source === target && (target.querySelector(asking) ?? root.querySelector(`[role=search]${asking}`));
    }

    // htmx 4
    on("htmx:config:request", ({ detail: { ctx } }) => mark(ctx.request.headers, ctx.request.method));
    on("htmx:before:swap", (event) => {
      const { ctx, tasks } = event.detail;
      const main = tasks.find(({ type }) => type === "main");
      if (main && isInTheWay(ctx.sourceElement, main.target)) {
        event.preventDefault();
      } else if (main && ctx.response.status >= 400) {
        // The page may have it configured that such answers are not swapped.
        main.swapSpec = ctx.hx.reswap ?? ctx.sourceElement.getAttribute("hx-swap");
      }
      // The browser gives no focus by itself in a frame on another site, and complains; app.js does.
      for (const { fragment } of tasks) {
        for (const element of fragment.querySelectorAll("[autofocus]")) {
          element.removeAttribute("autofocus");
          element.dataset.autofocus = "";
        }
      }
      // It would write a mark of its own into the page's history. All of the swap that does so runs before this ends.
      const { history } = htmx.config;
      htmx.config.history = false;
      queueMicrotask(() => { htmx.config.history = history; });
    });

    // htmx 2
    on("htmx:configRequest", ({ detail }) => mark(detail.headers, detail.verb));
    // It listens with what it has swapped in only some moments later: what is told meanwhile would not be heard.
    let swappedAt = 0;
    let changedAt = -1;
    on("clients-changed", () => { changedAt = performance.now(); });
    on("htmx:afterSettle", ({ target }) => {
      const list = shownList(root);
      if (target.contains(list) && changedAt >= swappedAt) htmx.trigger(list, "clients-changed");
    });
    on("htmx:beforeSwap", ({ detail }) => {
      const { status } = detail.xhr;
      const source = detail.requestConfig.elt;
      // The page may have it configured that refusals are not swapped.
      detail.shouldSwap = status !== 204 && !isInTheWay(source, detail.target);
      if (detail.shouldSwap && detail.target.contains(shownList(root))) {
        swappedAt = performance.now();
      }
      detail.isError = false;
      detail.ignoreTitle = true;
      // It has no morph; read after this.
      if (source.getAttribute("hx-swap") === "outerMorph") source.setAttribute("hx-swap", "outerHTML");
    });

    // What was swapped in becomes htmx's only some moments later. Until then a link would lead the page away.
    function catchUp(event, source) {
      if (!event.isTrusted || event.defaultPrevented || !source?.matches("[hx-get], [hx-post]")) return;
      event.preventDefault();
      htmx.process(surface);
      htmx.trigger(source, source.matches("form") ? "submit" : "click");
    }
    on("click", (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.shiftKey) catchUp(event, event.target.closest("a"));
    });
    on("submit", (event) => {
      const { submitter, target } = event;
      catchUp(event, submitter?.matches("[hx-get], [hx-post], [formaction]") ? submitter : target);
    });

    if (root === document) return;
    for (const name of PRIVATE) on(name, (event) => event.stopPropagation());
    // A field that an error names is in our root: the browser would look for it in the page, and change its address.
    on("click", (event) => {
      const id = event.target.closest("a[href^='#']")?.hash.slice(1);
      if (!id) return;
      event.preventDefault();
      root.getElementById(id)?.focus();
    });
    // Until htmx has it, a link would lead the whole page away.
    surface.inert = true;
    return findHtmx(surface.dataset.htmx).then((found) => {
      if (signal.aborted) return;
      htmx = found;
      if (!/^[24]\./.test(htmx.version)) {
        console.warn(`Imported Clients: this page has htmx ${htmx.version}, and needs 2 or 4. It is shown in a frame.`);
        return session.showFrame(signal);
      }
      htmx.process(surface);
      surface.inert = false;
      session.tell("ready");
    });
  }

  let ours;

  // The page's own may come later than we do.
  async function findHtmx(address) {
    if (!window.htmx && !ours && document.readyState !== "complete") {
      await new Promise((done) => {
        window.addEventListener("load", done, { once: true });
        document.addEventListener("DOMContentLoaded", () => window.htmx && done(), { once: true });
        setTimeout(done, LONGEST_WAIT);
      });
    }
    return window.htmx ?? (ours ??= bringHtmx(address).catch((failure) => {
      ours = undefined;
      throw failure;
    }));
  }

  async function bringHtmx(address) {
    const config = document.createElement("meta");
    config.name = "htmx-config";
    config.content = '{"includeIndicatorCSS": false, "history": false}';
    document.head.prepend(config);
    // It begins with the whole page, which is not ours.
    const spare = (event) => {
      if (event.target !== document.body) return;
      event.preventDefault();
      document.removeEventListener(event.type, spare, true);
    };
    document.addEventListener("htmx:before:process", spare, true);
    const script = document.createElement("script");
    script.src = address;
    await new Promise((done, failed) => {
      Object.assign(script, { onload: done, onerror: failed });
      document.head.append(script);
    }).finally(() => config.remove());
    return window.htmx;
  }

  (globalThis.importedClients ??= []).push(attach);
})();
