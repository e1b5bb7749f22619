"use strict";
// Puts the view in the place of the one that is shown, until the run has ended or nobody answers any more.
const view = document.getElementById("view");

async function refresh() {
  try {
    const answer = await fetch("view", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    view.replaceChildren(...parsed.body.childNodes);
    if (view.querySelector(".ended")) return;
  } catch {
    const note = document.createElement("p");
    note.className = "ended";
    note.textContent = "Nobody answers any more: the run has ended, or the view of it.";
    view.prepend(note);
    return;
  }
  setTimeout(refresh, 1000 * view.dataset.refresh);
}

setTimeout(refresh, 1000 * view.dataset.refresh);
