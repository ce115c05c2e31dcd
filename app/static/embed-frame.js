/* Our page in a frame of the host shell: says how high it is and where somebody looks, and takes colours and the place of
   the window from the page around it. Nothing is said to, and nothing taken from, any other origin than those that the
   portal has registered. */
"use strict";

(() => {
  const allowed = document.querySelector("meta[name=shell-origins]").content.split(" ").filter(Boolean);
  const surface = document.querySelector(".surface");
  const page = document.documentElement;
  // An open dialog must find room, however short the table is.
  const ROOM_FOR_DIALOG = 640;
  const NOT_PLAIN = /var\(|url\(|[;{}]/i;

  const isColour = (text) => CSS.supports("color", text);
  const isLength = (text) => CSS.supports("border-radius", text);
  const TOKENS = {
    font: (text) => CSS.supports("font-family", text),
    "font-size": (text) => CSS.supports("font-size", text),
    radius: isLength,
    density: (text) => /^\d*\.?\d+$/.test(text),
    page: isColour, surface: isColour, text: isColour, muted: isColour, line: isColour, accent: isColour,
    "on-accent": isColour, danger: isColour, success: isColour, warning: isColour,
  };

  // Known once it has spoken.
  let shell;

  function tell(type, more) {
    if (shell) parent.postMessage({ to: "imported-clients-shell", type, ...more }, shell);
  }

  function tellHeight() {
    const opened = [...document.querySelectorAll(":popover-open")];
    const ends = opened.map((box) => box.getBoundingClientRect().bottom + 16);
    if (document.querySelector("dialog[open]")) ends.push(ROOM_FOR_DIALOG);
    tell("height", { height: Math.ceil(Math.max(document.body.getBoundingClientRect().height, ...ends)) });
  }

  const questions = {
    hello() {
      tell("ready");
      tellHeight();
    },
    theme({ tokens, scheme }) {
      if (["light", "dark"].includes(scheme)) page.dataset.theme = scheme;
      else if (scheme === "auto") delete page.dataset.theme;
      for (const [name, isRight] of Object.entries(TOKENS)) {
        const text = tokens?.[name];
        const property = `--imported-clients-${name}`;
        if (typeof text === "string" && !NOT_PLAIN.test(text) && isRight(text)) page.style.setProperty(property, text);
        else page.style.removeProperty(property);
      }
    },
    place({ top, height }) {
      if (![top, height].every((number) => Number.isFinite(number) && number >= 0)) return;
      page.style.setProperty("--eye-top", `${top}px`);
      page.style.setProperty("--eye-height", `${height}px`);
    },
  };

  addEventListener("message", ({ source, origin, data }) => {
    if (source !== parent || !allowed.includes(origin) || data?.to !== "imported-clients") return;
    shell = origin;
    if (Object.hasOwn(questions, data.type)) questions[data.type](data);
  });

  document.addEventListener("imported-clients:navigate", ({ detail }) => tell("navigate", { view: detail.view }));

  const sizes = new ResizeObserver(tellHeight);
  sizes.observe(document.body);
  for (const box of document.querySelectorAll("dialog")) sizes.observe(box);
  document.addEventListener("toggle", tellHeight, true);

  // The page around us gets a new session, and with it this page anew: nothing is left to be done here.
  let renewal;
  const session = {
    renew() {
      return renewal ??= new Promise(() => tell("session-ended"));
    },
  };
  for (const attach of importedClients) attach(document, undefined, session);
})();
