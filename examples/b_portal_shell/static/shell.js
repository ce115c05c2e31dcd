// Like many such scripts, this one defines global names. They must not interfere with what is embedded.
"use strict";

const dialog = document.getElementById("dialog");
const table = document.getElementById("table");
const panel = document.body;
let selection = "the shell's";
var show = () => "the shell's";
var load = show;
function attach() { return show(); }
class ImportedClients {}

// Keep the view of the table in this page's URL.
document.addEventListener("imported-clients:navigate", ({ detail }) => {
  const here = new URL(location.href);
  if (detail.view) here.searchParams.set("view", detail.view);
  else here.searchParams.delete("view");
  history.replaceState(history.state, "", here);
});

// Sent when the shell gives no token for a new session: nobody is signed in to the shell any more.
document.addEventListener("imported-clients:session-ended", () => { location.assign("/"); });
