/* The frame of <imported-clients>, seen from the page around it: as high as what is in it, in the page's colours, and
   with a session whenever the page has a token. Messages go to and come from the frame's exact origin only. */
"use strict";

globalThis.importedClientsFrame = async (element, root, mount, signal) => {
  const TOKENS = [
    "font", "font-size", "page", "surface", "text", "muted", "line", "accent", "on-accent", "danger", "success", "warning",
    "radius", "density",
  ];
  const NOT_FRAMED = "Imported Clients cannot be shown here: either you may not see them, or the address of this site is"
    + " not among the shell origins in their settings, under Embedding.";
  const ENDED = "Your session has ended. Reload the page, or sign in again.";
  const PATIENCE = 8000;
  const SHORTEST = 120;
  const TALLEST = 100_000;

  const { origin } = new URL(mount);
  const isOurs = origin === location.origin;

  // The frame is a child of the element, since a form can only aim at frames outside shadow roots. Of the page's styles
  // these alone reach it.
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`
    :host { display: block; }
    ::slotted(iframe) {
      all: initial !important; display: block !important; box-sizing: border-box !important; width: 100% !important;
      height: var(--height, 30rem) !important; border: 0 !important; color-scheme: inherit !important;
    }
    p { font: inherit; }
  `);
  root.adoptedStyleSheets = [sheet];
  const note = document.createElement("div");
  note.role = "alert";
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
    const isAsked = element.hasAttribute("handover");
    const got = isAsked && await (isOurs ? element.renew() : element.token());
    if (signal.aborted) return;
    if (isAsked && !got) {
      end();
      return;
    }
    if (isAsked && !isOurs) post({ token: got, framed: "1", next: address.pathname + address.search });
    else frame.src = address.href;
    expect();
  }

  function post(fields) {
    const form = Object.assign(document.createElement("form"), {
      method: "post", action: `${mount}/handover`, target: frame.name, hidden: true,
    });
    for (const [name, value] of Object.entries(fields)) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    document.body.append(form);
    form.submit();
    form.remove();
  }

  function end() {
    note.textContent = ENDED;
    element.tell("session-ended");
  }

  // A browser that refuses to frame us tells nobody.
  let waiting;
  let isSent = false;
  function expect() {
    isSent = true;
    clearTimeout(waiting);
    waiting = setTimeout(() => { note.textContent = NOT_FRAMED; }, PATIENCE);
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
  frame.addEventListener("load", () => { if (isSent) send("hello"); }, { signal });
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
