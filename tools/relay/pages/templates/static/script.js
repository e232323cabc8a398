"use strict";
// All of the page works without this: it searches while typing, tells times in the reader's own zone, refreshes.
(() => {
  const root = document.documentElement;
  const kept = (name, value) => {
    try {
      if (value !== undefined) localStorage.setItem(name, value);
      return localStorage.getItem(name);
    } catch { return null; }
  };
  if (kept("theme")) root.dataset.theme = kept("theme");
  for (const comfort of document.querySelectorAll(".needs-script")) comfort.hidden = false;

  const localTimes = (within) => {
    for (const time of within.querySelectorAll("time")) {
      const local = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
      time.title = `${local} here, ${time.dateTime}`;
    }
  };
  localTimes(document);

  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    kept("theme", root.dataset.theme);
  });

  // Exchanges one part of the page for the same part of a newly fetched one; the answer to an older question is dropped.
  let asked = 0;
  const exchange = async (url, id) => {
    const mine = ++asked;
    let answer;
    try { answer = await fetch(url, { credentials: "same-origin" }); } catch { return; }
    if (mine !== asked) return;
    if (answer.redirected || !answer.ok) { location.reload(); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
    const old = document.getElementById(id);
    if (mine !== asked || !fresh || !old) return;
    old.replaceWith(fresh);
    localTimes(fresh);
  };

  const form = document.querySelector("form.search");
  if (form) {
    let timer;
    const search = () => {
      const query = new URLSearchParams(new FormData(form));
      history.replaceState(null, "", `?${query}`);
      exchange(`/?${query}`, "results");
    };
    form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 180); });
    form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); search(); });
  }

  const live = document.getElementById("live");
  if (live) {
    live.checked = kept("live") === "yes";
    live.addEventListener("change", () => kept("live", live.checked ? "yes" : "no"));
    setInterval(() => {
      if (live.checked && !document.hidden) exchange(location.href, document.getElementById("results") ? "results" : "main");
    }, 15000);
  }
})();
