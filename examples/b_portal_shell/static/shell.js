// The shell's script, as such scripts are: names for the whole page, which must not get in the way of what is embedded.
"use strict";

const dialog = document.getElementById("dialog");
const table = document.getElementById("table");
const panel = document.body;
let selection = "the shell's";
var show = () => "the shell's";
var load = show;
function attach() { return show(); }
class ImportedClients {}

// Where somebody looks in the table belongs to the address of this page.
document.addEventListener("imported-clients:navigate", ({ detail }) => {
  const here = new URL(location.href);
  if (detail.view) here.searchParams.set("view", detail.view);
  else here.searchParams.delete("view");
  history.replaceState(history.state, "", here);
});

// Nobody is signed in to the shell any more either.
document.addEventListener("imported-clients:session-ended", () => { location.assign("/"); });
