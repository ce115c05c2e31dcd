/* <imported-clients portal="…" surface="tab|table" handover="…" view="?…" theme="light|dark|auto" mode="frame">
   On our origin in a shadow root (embed.js), else in a frame (embed-shell.js). */
"use strict";

(() => {
  const { src } = document.currentScript;
  const mount = src.slice(0, src.indexOf("/embed/loader.js"));
  // Our server puts it before this script: what we say, in the browser's language.
  const { lang, dir, failed, ended } = importedClientsWords;

  const brought = {};
  const bring = (url) => brought[url] ??= new Promise((onload, failed) => {
    const onerror = () => failed(delete brought[url]);
    const script = Object.assign(document.createElement("script"), { src: url, onload, onerror });
    script.dataset.embedded = "";
    document.head.append(script);
  });

  // A server that is away has refused nothing.
  async function ask(url, options) {
    const answer = await fetch(url, options);
    if (answer.status >= 500) throw new Error(`${url}: ${answer.status}`);
    return answer;
  }

  // A page gets one session.
  const renewals = {};

  class ImportedClients extends HTMLElement {
    static observedAttributes = ["portal", "surface", "view", "theme", "mode"];
    #root = this.attachShadow({ mode: "open" });
    #life;
    #view;

    constructor() {
      super();
      this.addEventListener("imported-clients:navigate", ({ detail }) => { this.#view = detail.view; });
    }

    connectedCallback() { this.reload(); }

    disconnectedCallback() { this.#life?.abort(); }

    // What repeats ours is shown already.
    attributeChangedCallback(name, before, now) {
      if (!this.#life || before === now || (name === "view" && now === this.#view)) return;
      if (name === "theme") this.#paint();
      else this.reload();
    }

    reload() {
      this.#life?.abort();
      const { signal } = this.#life = new AbortController();
      this.#view = this.getAttribute("view") ?? "";
      const isOurs = new URL(src).origin === location.origin && this.getAttribute("mode") !== "frame";
      (isOurs ? this.#showInline(signal) : this.showFrame(signal)).catch(() => {
        if (!signal.aborted) this.say(failed);
      });
    }

    get surface() { return this.getAttribute("surface") === "table" ? "table" : "tab"; }

    url(part) { return `${mount}/portals/${encodeURIComponent(this.getAttribute("portal"))}/embed/${part}`; }

    tell(name, detail) {
      this.dispatchEvent(new CustomEvent(`imported-clients:${name}`, { bubbles: true, composed: true, detail }));
    }

    say(words) {
      this.#root.replaceChildren(Object.assign(document.createElement("div"), { textContent: words, role: "alert", lang, dir }));
    }

    async showFrame(signal) {
      await bring(`${mount}/embed/shell.js`);
      if (!signal.aborted) await importedClientsFrame(this, this.#root, mount, signal);
    }

    // Who was here before may have been somebody else.
    async #showInline(signal) {
      const answer = (!this.hasAttribute("handover") || await this.renew()) && await this.ask();
      if (signal.aborted) return;
      if (!answer || answer.status === 401) {
        this.say(ended);
        return this.tell("session-ended");
      }
      const box = document.createElement("template");
      box.innerHTML = await answer.text();
      if (signal.aborted) return;
      const page = box.content.querySelector(".ic");
      if (!page) return this.say(box.content.querySelector("[data-alert]")?.textContent ?? failed);
      const styles = [...box.content.querySelectorAll("link")];
      const styled = Promise.all(styles.map((style) => new Promise((done) => { style.onload = style.onerror = done; })));
      this.#root.replaceChildren(...styles);
      for (const url of page.firstElementChild.dataset.scripts.split(" ")) await bring(url);
      await styled;
      if (signal.aborted) return;
      this.#root.append(page);
      this.#paint();
      for (const attach of importedClients) await attach(this.#root, signal, this);
    }

    #paint() {
      const page = this.#root.querySelector(".ic");
      if (page) page.dataset.theme = this.getAttribute("theme") ?? "host";
    }

    ask() {
      const headers = { "HX-Request": "true", "X-Embedded": `${this.surface} inline` };
      return fetch(Object.assign(new URL(this.url(this.surface)), { search: this.#view }), { headers });
    }

    /** Who is asking; fails where nobody can tell just now. */
    async token() {
      const headers = { "X-Requested-With": "imported-clients" };
      const answer = await ask(this.getAttribute("handover"), { method: "POST", headers });
      return answer.ok ? answer.text() : "";
    }

    renew() {
      const key = `${this.getAttribute("portal")} ${this.getAttribute("handover")}`;
      return renewals[key] ??= this.#handOver().finally(() => { delete renewals[key]; });
    }

    async #handOver() {
      const token = this.hasAttribute("handover") && await this.token();
      const body = new URLSearchParams({ token });
      const answer = token && await ask(mount + "/handover", { method: "POST", body, redirect: "manual" });
      return answer?.type === "opaqueredirect";
    }
  }

  if (!customElements.get("imported-clients")) customElements.define("imported-clients", ImportedClients);
})();
