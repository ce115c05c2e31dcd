/* Who is signed in: a page may be older than its session. Nothing is sent in the name of somebody else unless that is
   wanted, and nothing typed is lost where nobody is signed in any more. For a root, as in app.js; requests.js calls it. */
"use strict";

// Inside another page `session` gets a new session from it: `renew` says whether there is one now. `notices` shows what is
// to be said.
globalThis.importedClientsWho = (root, session, notices) => {
  // Where the page says for whom it was made.
  const maker = root.querySelector("[data-person]");

  function headers() {
    const { embedding } = maker.dataset;
    return { "HX-Request": "true", "HX-Current-URL": location.href, ...embedding && { "X-Embedded": embedding } };
  }

  function take({ person, csrf_token: token }) {
    maker.dataset.person = person;
    if (maker.matches("meta")) maker.content = token;
    else maker.dataset.csrf = token;
    for (const field of root.querySelectorAll("[name=csrf_token]")) field.value = token;
  }

  // Nothing was done with the token of an older session. Whose is the one that there is now?
  async function renew(isAsked, goOn) {
    const answer = await fetch(maker.dataset.session, { headers: headers() }).catch(() => null);
    const isOurs = answer?.headers.has("X-Imported-Clients");
    const found = isOurs && answer.ok && await answer.json().catch(() => null);
    if (found) {
      if (found.person !== maker.dataset.person) askFirst(found, isAsked, goOn);
      else {
        take(found);
        goOn();
      }
    } else if (isOurs && answer.status === 401) {
      await onNobody(answer.headers.get("HX-Redirect"), isAsked, goOn);
    } else if (isOurs && answer.status < 500 && !answer.ok) {
      notices.tell("no-access-notice", isAsked);
    } else {
      tellUnsent(isAsked);
    }
  }

  function tellUnsent(isAsked) {
    if (isAsked) notices.tell("not-sent-notice", true);
    else notices.showConnection(false);
  }

  let asked;
  function askFirst(found, isAsked, goOn) {
    // What was pressed stays what it asks about.
    if (!isAsked && asked?.found.person === found.person) return;
    asked = { found, goOn };
    notices.tell("somebody-else-notice", isAsked, (notice) => {
      for (const name of notice.querySelectorAll("[data-name]")) name.textContent = found.name;
    });
  }

  function goOnAsOther() {
    const { found, goOn } = asked;
    asked = undefined;
    take(found);
    const shown = root.querySelector(".topbar-name");
    if (shown) shown.textContent = shown.title = found.name;
    notices.clear("[data-notice]");
    goOn();
  }

  // Nobody is signed in, so nothing was done. `goOn` does it with a new session.
  let isOver = false;
  async function onNobody(signIn, isAsked, goOn) {
    if (!session) {
      notices.tell("signed-out-notice", isAsked, (notice) => { notice.querySelector("a").href = signIn; });
      return;
    }
    if (isOver && !isAsked) return;
    try {
      isOver = !await session.renew();
    } catch {
      tellUnsent(isAsked);
      return;
    }
    if (isOver) {
      notices.tell("session-notice", isAsked);
      session.tell("session-ended");
    } else {
      await renew(isAsked, goOn);
    }
  }

  return {
    headers,
    renew,
    onNobody,
    goOnAsOther,
    token: () => maker.dataset.csrf,
    isAnother: (person) => Boolean(person) && person !== maker.dataset.person,
    onAnswered: () => { asked = undefined; },
  };
};
