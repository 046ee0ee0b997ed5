// Enhances pages that work without it: refresh in place, follow links in place, copy, theme, keys.
"use strict";
{
  const $ = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const stored = (name, value) =>
    value === undefined ? localStorage.getItem(`pgmon-${name}`) : localStorage.setItem(`pgmon-${name}`, value);
  const say = (text) => { $("#said").textContent = text; };

  // What a reader has opened, focused and scrolled, by the id of what is around it.
  const place = (element) => {
    const home = element.closest("[id]");
    const alike = home ? all(element.tagName, home) : [];
    return { id: home?.id, tag: element.tagName, nth: alike.indexOf(element) };
  };
  const found = ({ id, tag, nth }) => {
    const home = id && document.getElementById(id);
    return home && (home.tagName === tag && nth < 0 ? home : all(tag, home)[nth]);
  };
  const remember = () => ({
    details: all("main details").map((d) => [place(d), d.open]),
    scrolled: all("main .scroll, main pre").filter((e) => e.scrollLeft).map((e) => [place(e), e.scrollLeft]),
    focus: document.activeElement !== document.body && place(document.activeElement),
    caret: document.activeElement.selectionStart,
    top: window.scrollY,
  });
  const restore = (before) => {
    for (const [where, open] of before.details) { const d = found(where); if (d) d.open = open; }
    for (const [where, left] of before.scrolled) { const e = found(where); if (e) e.scrollLeft = left; }
    const focus = before.focus && found(before.focus);
    if (focus && focus !== document.activeElement) focus.focus({ preventScroll: true });
    if (focus?.type === "search") focus.setSelectionRange(before.caret, before.caret);
    window.scrollTo(0, before.top);
  };

  const show = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    if (!$("main", page) || !$("header .tools", page)) return false;
    const before = remember();
    const every = $("#every").value;
    for (const part of ["header", "main", "footer"]) {
      $(`body > ${part}`).replaceWith(document.adoptNode($(`body > ${part}`, page)));
    }
    for (const name of ["state", "loading"]) {
      if (name in page.body.dataset) document.body.dataset[name] = page.body.dataset[name];
      else delete document.body.dataset[name];
    }
    document.title = page.title;
    $("link[rel=icon]").href = $("link[rel=icon]", page).href;
    prepare();
    $("#every").value = every;
    restore(before);
    return true;
  };

  let asking;
  const load = async (url, push = false) => {
    asking?.abort();
    const mine = (asking = new AbortController());
    try {
      const answer = await fetch(url, { signal: mine.signal, headers: { Accept: "text/html" } });
      const text = await answer.text();
      if (mine !== asking) return;
      if (push) history.pushState(null, "", url);
      if (!show(text)) location.reload();
      document.body.classList.remove("lost");
    } catch (problem) {
      if (problem.name !== "AbortError") document.body.classList.add("lost");  // pgmon itself does not answer
    }
  };

  const paused = () =>
    document.hidden || !getSelection().isCollapsed || document.activeElement?.type === "search";
  let last = Date.now();
  setInterval(() => {
    const every = document.body.dataset.loading !== undefined ? 2 : Number($("#every").value);
    document.body.classList.toggle("paused", every > 0 && paused());
    if (every && !paused() && Date.now() - last >= every * 1000) { last = Date.now(); load(location.href); }
  }, 500);

  const THEMES = { "": "follows the system", light: "light", dark: "dark" };
  const theme = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    $("#theme").setAttribute("aria-label", `Theme: ${THEMES[name]}`);
    $("#theme").title = `Theme: ${THEMES[name]}`;
  };
  const nextTheme = () => {
    const names = Object.keys(THEMES);
    const next = names[(names.indexOf(stored("theme") || "") + 1) % names.length];
    stored("theme", next);
    theme(next);
  };

  const copy = async (button) => {
    const code = $("pre", button.parentElement);
    try {
      await navigator.clipboard.writeText(code.textContent);
      say("Copied");
    } catch {  // no clipboard without TLS: select it, so that Ctrl-C does
      getSelection().selectAllChildren(code);
      say("Selected: press Ctrl-C");
    }
    button.textContent = $("#said").textContent;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  };

  const prepare = () => {
    $(".tools").hidden = false;
    for (const button of all(".copy")) button.hidden = false;
    $("#every").value = stored("every") || "15";
    theme(stored("theme") || "");
  };

  const open = () => {  // what a link leads to is shown, also within what is closed
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let e = target; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    if (target) $(":scope > details", target)?.setAttribute("open", "");
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("main a[href^='?']");
    if (event.target.closest(".copy")) copy(event.target.closest(".copy"));
    else if (event.target.closest("#theme")) nextTheme();
    else if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      load(link.href, true);
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "every") { stored("every", event.target.value); last = Date.now(); }
  });
  const filter = (form) => load(`?${new URLSearchParams(new FormData(form))}`, true);
  document.addEventListener("submit", (event) => { event.preventDefault(); filter(event.target); });
  let typing;
  document.addEventListener("input", (event) => {
    if (event.target.type !== "search") return;
    clearTimeout(typing);
    typing = setTimeout(() => filter(event.target.form), 300);
  });
  addEventListener("popstate", () => load(location.href));
  addEventListener("hashchange", open);

  const step = (by) => {  // to the next row or verdict, from where Enter opens it
    const stops = all("main summary, main tbody tr").map((e) => (e.matches("summary") ? e : $("a", e))).filter((e) => e?.checkVisibility());
    stops[Math.max(0, Math.min(stops.indexOf(document.activeElement) + by, stops.length - 1))]?.focus();
  };
  const KEYS = {
    j: () => step(1),
    k: () => step(-1),
    "/": () => $("input[type=search]")?.focus(),
    r: () => load(location.href),
    t: nextTheme,
    s: () => { const d = all("details.sql"); const o = d.every((e) => e.open); for (const e of d) e.open = !o; },
    p: () => { $("#every").value = $("#every").value === "0" ? "15" : "0"; stored("every", $("#every").value); },
    "?": () => say("Keys: 0 to 9 pages, / filter, r refresh, p pause, s SQL, t theme, j and k rows"),
  };
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = /^[0-9]$/.test(event.key) && all(".nav a")[(Number(event.key) + 9) % 10];
    if (page) page.click();
    else if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
  });

  const said = document.createElement("p");
  said.id = "said";
  said.setAttribute("role", "status");
  document.body.append(said);
  prepare();
  open();
}
