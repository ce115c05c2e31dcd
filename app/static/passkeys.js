/* Passkeys: asks the browser for one, or for a new one, and sends what it gives with the form. Forms with data-passkey
   stay hidden without it, and where the browser knows no passkeys; so do buttons with data-use-passkey, in forms that ask
   for a code before a change. What is wrong is said at the form, and what was typed stays. */
"use strict";

(() => {
  // A challenge is good for five minutes.
  const FRESH = 4 * 60_000;

  const toBytes = (text) => {
    const base64 = text.replaceAll("-", "+").replaceAll("_", "/");
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  };
  const toText = (buffer) => {
    const letters = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
    return btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  };
  const withBytes = (list) => list?.map((one) => ({ ...one, id: toBytes(one.id) }));

  // The options as the server wrote them, in the form that the browser wants.
  function read(options) {
    const { challenge, user, excludeCredentials, allowCredentials } = options;
    return {
      ...options,
      challenge: toBytes(challenge),
      ...user && { user: { ...user, id: toBytes(user.id) } },
      ...excludeCredentials && { excludeCredentials: withBytes(excludeCredentials) },
      ...allowCredentials && { allowCredentials: withBytes(allowCredentials) },
    };
  }

  function write({ id, rawId, type, response }) {
    const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
    const given = parts.filter((part) => response[part]).map((part) => [part, toText(response[part])]);
    return JSON.stringify({ id, rawId: toText(rawId), type, response: Object.fromEntries(given) });
  }

  // Which sentence of the form says what went wrong.
  const SENTENCES = {
    NotAllowedError: "cancelled",
    AbortError: "cancelled",
    InvalidStateError: "exists",
    SecurityError: "elsewhere",
    NotSupportedError: "unsupported",
    ConstraintError: "unsupported",
  };

  let asking;
  // The browser answers only one request at a time.
  function ask(form, options, more = {}) {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    const publicKey = read(options);
    const isNew = form.dataset.passkey === "create";
    return isNew
      ? navigator.credentials.create({ publicKey, signal })
      : navigator.credentials.get({ publicKey, signal, ...more });
  }

  const post = (address, body) => fetch(address, {
    method: "POST",
    body,
    headers: { "HX-Request": "true", "HX-Current-URL": location.href },
  });
  const fetchOptions = (form) => post(form.dataset.options, new FormData(form));

  // At a form, or at the part of one that is about passkeys.
  function tell(form, sentence) {
    const place = form.querySelector("[data-passkey-fault]");
    place.textContent = form.dataset[sentence] ?? form.dataset.failed;
    (form.querySelector("button[type=submit], [data-use-passkey]") ?? form).focus();
  }

  function send(form, credential) {
    form.elements.credential.value = write(credential);
    // What was typed beside it is shown again if this fails.
    const typed = document.getElementById("email");
    if (form.elements.email && typed) form.elements.email.value = typed.value;
    form.submit();
  }

  async function onSubmit(form) {
    form.querySelector("[data-passkey-fault]").textContent = "";
    const answer = await fetchOptions(form).catch(() => null);
    if (!answer) {
      tell(form, "offline");
    } else if (answer.headers.get("HX-Redirect")) {
      location.assign(answer.headers.get("HX-Redirect"));
    } else if (answer.ok) {
      try {
        send(form, await ask(form, await answer.json()));
        return true;
      } catch (error) {
        tell(form, SENTENCES[error.name]);
      }
    } else if (answer.status === 422 || answer.status === 429) {
      replace(form, await answer.text());
    } else {
      tell(form, "failed");
    }
    return false;
  }

  // The form once more, with what is wrong at its fields.
  function replace(form, html) {
    const made = new DOMParser().parseFromString(html, "text/html").body.querySelector("form");
    if (!made) {
      tell(form, "failed");
      return;
    }
    form.replaceWith(made);
    attach(made);
    made.querySelector("[autofocus]")?.focus();
  }

  function attach(form) {
    form.hidden = false;
    const button = form.querySelector("button[type=submit]");
    const words = button.textContent;
    const free = () => {
      form.removeAttribute("aria-busy");
      button.textContent = words;
      if ("offer" in form.dataset) offer(form);
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (isBusy(form)) return;
      form.setAttribute("aria-busy", "true");
      button.textContent = button.dataset.busy;
      if (!await onSubmit(form)) free();
    });
    window.addEventListener("pageshow", ({ persisted }) => { if (persisted) free(); });
  }

  const isBusy = (form) => form.hasAttribute("aria-busy");

  // Passkeys among what the browser offers for the field of the address. Asked again before the challenge is too old.
  let renewal;
  async function offer(form) {
    clearTimeout(renewal);
    if (!await PublicKeyCredential.isConditionalMediationAvailable?.()) return;
    const answer = await fetchOptions(form).catch(() => null);
    if (!answer?.ok || isBusy(form)) return;
    renewal = setTimeout(() => whenSeen(() => { if (!isBusy(form)) offer(form); }), FRESH);
    const options = await answer.json();
    ask(form, options, { mediation: "conditional" }).then(
      (credential) => {
        form.setAttribute("aria-busy", "true");
        send(form, credential);
      },
      () => { /* Nobody chose one, or the button was pressed. */ },
    );
  }

  // Before a sensitive change a passkey takes the place of a code in the same form.
  async function onStepUp(button) {
    const part = button.closest("[data-step-up]");
    if (isBusy(part)) return;
    const { form } = button;
    const words = button.textContent;
    part.setAttribute("aria-busy", "true");
    part.querySelector("[data-passkey-fault]").textContent = "";
    button.textContent = button.dataset.busy;
    const credential = await signStepUp(part, form.elements.csrf_token.value);
    button.textContent = words;
    part.removeAttribute("aria-busy");
    // The dialog may have been closed meanwhile.
    if (!credential || !form.isConnected) return;
    form.elements.step_up_credential.value = write(credential);
    form.requestSubmit(form.querySelector("button[type=submit]"));
  }

  // What the device gives. Nothing, once it is said why.
  async function signStepUp(part, token) {
    const body = new FormData();
    body.set("csrf_token", token);
    const answer = await post(part.dataset.stepUp, body).catch(() => null);
    if (!answer?.ok || answer.headers.get("HX-Redirect")) {
      tell(part, !answer ? "offline" : answer.headers.get("HX-Redirect") ? "ended" : "failed");
      return null;
    }
    try {
      return await ask(part, await answer.json());
    } catch (error) {
      tell(part, SENTENCES[error.name]);
      return null;
    }
  }

  // Also in what has just come.
  function offerExtras() {
    for (const note of document.querySelectorAll("[data-without-passkeys]")) note.hidden = true;
    for (const part of document.querySelectorAll("[data-step-up][hidden]")) {
      part.hidden = false;
      part.querySelector("[autofocus]")?.focus();
    }
  }

  function whenSeen(then) {
    if (!document.hidden) then();
    else document.addEventListener("visibilitychange", then, { once: true });
  }

  if (!window.PublicKeyCredential) return;
  offerExtras();
  document.addEventListener("htmx:after:swap", offerExtras);
  document.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-use-passkey]");
    if (button) onStepUp(button);
  });
  // An answer is good once.
  window.addEventListener("pageshow", ({ persisted }) => {
    if (!persisted) return;
    for (const field of document.querySelectorAll("[name=step_up_credential]")) field.value = "";
  });
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    attach(form);
    if ("offer" in form.dataset) offer(form);
  }
})();
