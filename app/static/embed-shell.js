/* The frame of <imported-clients>, seen from the page around it: as high as what is in it, in the page's colours, and
   with a session whenever the page has a token. Where the browser keeps none in the frame, a window is offered. Messages
   go to and come from the frame's exact origin only. */
"use strict";

globalThis.importedClientsFrame = async (element, root, mount, signal) => {
  const TOKENS = [
    "font", "font-size", "page", "surface", "text", "muted", "line", "accent", "on-accent", "danger", "success", "warning",
    "radius", "density",
  ];
  const say = importedClientsWords;
  const PATIENCE = 8000;
  // Of a frame that has loaded and does not say a word.
  const SILENCE = 3000;
  const SHORTEST = 120;
  const TALLEST = 100_000;

  const { origin } = new URL(mount);
  const isOurs = origin === location.origin;
  const isAsked = element.hasAttribute("handover");

  // The frame is a child of the element, since a form can only aim at frames outside shadow roots. Of the page's styles
  // these alone reach it.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    :host { display: block; }
    ::slotted(iframe) {
      all: initial !important; display: block !important; box-sizing: border-box !important; width: 100% !important;
      height: var(--height, 30rem) !important; border: 0 !important; color-scheme: inherit !important;
    }
    p { font: inherit; margin: 0 0 0.5em; }
    button { font: inherit; }
  `);
  root.adoptedStyleSheets = [sheet];
  const note = document.createElement("div");
  Object.assign(note, { role: "alert", lang: say.lang, dir: say.dir });
  root.replaceChildren(note, document.createElement("slot"));
  const frame = Object.assign(document.createElement("iframe"), { title: "Imported Clients" });
  frame.name = `imported-clients-${crypto.randomUUID?.() ?? Math.random()}`;
  element.replaceChildren(frame);

  const send = (type, more) => frame.contentWindow?.postMessage({ to: "imported-clients", type, ...more }, origin);

  // A session for a frame on another site comes by a form that is sent into the frame: so its cookie belongs to just
  // this place. Without an address for tokens there may be a session already.
  async function open() {
    const address = new URL(element.url("frame"));
    address.search = element.getAttribute("view") ?? "";
    address.searchParams.set("surface", element.surface);
    const got = isAsked && await (isOurs ? element.renew() : element.token());
    if (signal.aborted) return;
    if (isAsked && !got) {
      end();
      return;
    }
    if (!frame.isConnected) element.replaceChildren(frame);
    if (isAsked && !isOurs) post(frame.name, { token: got, framed: "1", next: address.pathname + address.search });
    else frame.src = address.href;
    isSent = true;
    expect(PATIENCE);
  }

  function post(target, fields) {
    const form = Object.assign(document.createElement("form"), {
      method: "post", action: `${mount}/handover`, target, hidden: true,
    });
    for (const [name, value] of Object.entries(fields)) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    document.body.append(form);
    form.submit();
    form.remove();
  }

  function end() {
    note.textContent = say.ended;
    element.tell("session-ended");
  }

  // The whole tab, in a window, where our session is as good as any. A browser opens one only while it answers a press:
  // so it opens at once, and the form is sent into it when there is a token.
  const tab = () => Object.assign(new URL(element.url("../settings/accounts/imported-clients")), {
    search: element.getAttribute("view") ?? "",
  });

  async function openWindow() {
    const opened = window.open("", `${frame.name}-window`);
    const token = await element.token().catch(() => "");
    if (token) {
      post(`${frame.name}-window`, { token, next: tab().pathname + tab().search });
    } else {
      opened?.close();
      end();
    }
  }

  function offerWindow(words) {
    const way = isAsked
      ? Object.assign(document.createElement("button"), { type: "button", onclick: openWindow })
      : Object.assign(document.createElement("a"), { href: tab().href, target: "_blank" });
    way.textContent = say.open;
    way.dataset.openWindow = "";
    note.replaceChildren(Object.assign(document.createElement("p"), { textContent: words }), way);
  }

  // A browser that refuses to frame us tells nobody.
  let waiting;
  let isSent = false;
  function expect(patience) {
    clearTimeout(waiting);
    waiting = setTimeout(offerWindow, patience, say.notFramed);
  }

  function paint() {
    const style = getComputedStyle(element);
    const tokens = {};
    for (const name of TOKENS) {
      const value = style.getPropertyValue(`--imported-clients-${name}`).trim();
      if (value) tokens[name] = value;
    }
    // What the shell says of itself, unless it says something else for us.
    const own = style.colorScheme.includes("light") && style.colorScheme.includes("dark") ? "auto" : style.colorScheme;
    const scheme = element.getAttribute("theme") ?? own;
    send("theme", { tokens, scheme: ["dark", "auto"].includes(scheme) ? scheme : "light" });
  }

  // Which part of the frame is in the window: there its dialogs open.
  function showPlace() {
    const { top, bottom } = frame.getBoundingClientRect();
    const from = Math.max(0, -top);
    send("place", { top: from, height: Math.max(0, Math.min(bottom, innerHeight) - Math.max(0, top)) });
  }

  let isReady = false;
  let isPlaceAsked = false;
  function onMove() {
    if (isPlaceAsked || !isReady) return;
    isPlaceAsked = true;
    requestAnimationFrame(() => {
      isPlaceAsked = false;
      showPlace();
    });
  }

  const answers = {
    ready() {
      clearTimeout(waiting);
      note.textContent = "";
      isReady = true;
      paint();
      showPlace();
      element.tell("ready");
    },
    height({ height }) {
      if (!Number.isFinite(height)) return;
      frame.style.setProperty("--height", `${Math.min(Math.max(height, SHORTEST), TALLEST)}px`);
      onMove();
    },
    navigate({ view }) {
      if (typeof view === "string" && /^(\?|$)/.test(view)) element.tell("navigate", { view });
    },
    "no-session"() {
      clearTimeout(waiting);
      isReady = false;
      frame.remove();
      offerWindow(say.noSession);
    },
    "session-ended"() {
      isReady = false;
      open().catch(() => { waiting = setTimeout(answers["session-ended"], PATIENCE); });
    },
  };

  addEventListener("message", ({ source, origin: from, data }) => {
    if (source !== frame.contentWindow || from !== origin || data?.to !== "imported-clients-shell") return;
    if (Object.hasOwn(answers, data.type)) answers[data.type](data);
  }, { signal });
  // Once there is something in it, it is told who is around it; it answers if it may.
  frame.addEventListener("load", () => {
    if (!isSent) return;
    send("hello");
    expect(SILENCE);
  }, { signal });
  addEventListener("scroll", onMove, { signal, capture: true, passive: true });
  addEventListener("resize", onMove, { signal });
  const watch = new MutationObserver(() => { if (isReady) paint(); });
  for (const watched of [element, document.documentElement, document.body]) {
    watch.observe(watched, { attributeFilter: ["class", "style", "theme", "data-theme"] });
  }
  signal.addEventListener("abort", () => {
    clearTimeout(waiting);
    watch.disconnect();
  });
  await open();
};
