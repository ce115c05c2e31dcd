/* In a frame for which the browser sends no session: tells the page around it, which offers a window instead. Whoever
   that page is, nothing here is a secret. */
"use strict";

parent.postMessage({ to: "imported-clients-shell", type: "no-session" }, "*");
