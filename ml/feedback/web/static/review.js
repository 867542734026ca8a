"use strict";
// Everything works without this file; it adds single-key shortcuts, which can be switched off (WCAG 2.1.4).
const form = document.getElementById("decide");
if (form) {
  const note = document.getElementById("note");
  const toggle = document.getElementById("shortcuts");
  const press = (verdict) => form.querySelector(`button[value="${verdict}"]`).click();
  toggle.checked = localStorage.getItem("shortcuts") !== "off";
  toggle.addEventListener("change", () => localStorage.setItem("shortcuts", toggle.checked ? "on" : "off"));

  const overrule = () => (note.value.trim() ? press("overrule") : askForNote());
  const askForNote = () => {
    note.placeholder = "Why? Then Ctrl and Enter.";
    note.focus();
  };
  const keys = {
    c: () => press("confirm"),
    o: overrule,
    n: () => note.focus(),
    s: () => document.getElementById("later")?.click(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.target === note) {
      if (event.key === "Escape") note.blur();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) overrule();
      return;
    }
    if (!toggle.checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const act = keys[event.key.toLowerCase()];
    if (act) {
      event.preventDefault();
      act();
    }
  });

  let sent = false;
  form.addEventListener("submit", (event) => {
    const overruled = event.submitter?.value === "overrule";
    if (sent || (overruled && !note.value.trim())) {
      event.preventDefault();
      if (!sent) askForNote();
      return;
    }
    sent = true;
  });
  // Back in the browser's history brings the page as it was left.
  window.addEventListener("pageshow", () => { sent = false; });
}

// Reasons that are still being worked out are put in when they are there; what was typed stays.
const AGAIN_MS = 1000;
const fill = async () => {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const facts = fresh.getElementById("facts");
    if (!answer.ok || answer.redirected || !facts) return; // signed out, or decided by somebody else
    if (!fresh.getElementById("coming")) {
      document.getElementById("facts").replaceChildren(...facts.childNodes);
      return;
    }
  } catch {
    // The page's server is away for a moment.
  }
  setTimeout(fill, AGAIN_MS);
};
if (document.getElementById("coming")) setTimeout(fill, AGAIN_MS);
