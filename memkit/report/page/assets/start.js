// Unpacks what the page holds, and shows the view that its address names: #calls?by=peak&find=json.
(memkit => {
  const { make } = memkit;
  const shown = new Map();
  const shownLater = new Map();
  const recoloured = [];
  let tabs = [];

  async function unpacked(id) {
    const letters = atob(document.getElementById(id).textContent.trim());
    const bytes = Uint8Array.from(letters, letter => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  // Runs once an element is in the page, where it has a size.
  function whenShown(element, run) {
    shownLater.set(element, run);
    requestAnimationFrame(settle);
  }

  function settle() {
    for (const [element, run] of [...shownLater]) {
      if (element.isConnected && element.clientWidth) { shownLater.delete(element); run(); }
    }
  }

  const whenColoursChange = run => recoloured.push(run);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => recoloured.forEach(run => run()));

  function address() {
    const [name, query = ""] = location.hash.slice(1).split("?");
    return { name, state: Object.fromEntries(new URLSearchParams(query)) };
  }

  function written(name, state) {
    const query = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== "" && value !== null && value !== undefined));
    return `#${name}${query.size || [...query].length ? `?${query}` : ""}`;
  }

  const go = (name, state = {}) => {
    if (location.hash === written(name, state)) show();
    else location.hash = written(name, state);
  };

  function note(name, state) {
    try {
      history.replaceState(null, "", written(name, state));
      shown.set(name, written(name, state));
    } catch { /* a page inside another has no address of its own */ }
  }

  function show() {
    const { name, state } = address();
    const tab = tabs.find(each => each.name === name) ?? tabs[0];
    for (const each of tabs) {
      const chosen = each === tab;
      each.button.setAttribute("aria-selected", String(chosen));
      each.button.tabIndex = chosen ? 0 : -1;
      each.panel.hidden = !chosen;
    }
    const wanted = written(tab.name, name === tab.name ? state : {});
    if (shown.get(tab.name) !== wanted) {
      shown.set(tab.name, wanted);
      tab.panel.firstElementChild?.gone?.();
      tab.panel.replaceChildren(tab.draw(name === tab.name ? state : {}));
    }
    settle();
    tab.panel.querySelector("dt.chosen")?.scrollIntoView();
  }

  function build() {
    const { recording } = memkit;
    const views = memkit.comparisonViews?.() ?? [
      ["overview", "Overview", true, memkit.overview],
      ["workers", "Workers", memkit.view.workers, memkit.workers],
      ["lines", "Lines", memkit.everyLine().length, memkit.lines],
      ["calls", "Calls", recording.calls.length, memkit.calls],
      ["made-of", "Made of", recording.balances?.length, memkit.madeOf],
      ["processes", "Processes", recording.processes.length, memkit.processes],
      ["about", "About", true, memkit.about],
    ];
    tabs = views.filter(([, , known]) => known).map(([name, title, , draw]) => {
      const button = make("button", { role: "tab", type: "button", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => go(name, last(name)), onkeydown: walk }, title);
      const panel = make("section", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, tabindex: -1, hidden: true });
      return { name, button, panel, draw };
    });
    document.getElementById("tabs").append(...tabs.map(tab => tab.button));
    document.getElementById("main").append(...tabs.map(tab => tab.panel));
  }

  // A tab that was left shows again what it showed.
  function last(name) {
    return Object.fromEntries(new URLSearchParams(shown.get(name)?.split("?")[1] ?? ""));
  }

  function walk(event) {
    const at = tabs.findIndex(tab => tab.button === event.currentTarget);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab.button.focus();
    go(tab.name, last(tab.name));
  }

  function everything() {
    memkit.printing = true;
    for (const tab of tabs) {
      tab.panel.hidden = false;
      if (!shown.has(tab.name)) { shown.set(tab.name, written(tab.name, {})); tab.panel.replaceChildren(tab.draw({})); }
    }
    settle();
  }

  async function start() {
    const holds = document.getElementById("recording") ? "recording" : "comparison";
    const [recording, view] = await Promise.all([unpacked(holds), unpacked("view")]);
    Object.assign(memkit, { recording, view });
    document.title = `memkit: ${memkit.plain(view.title)}`;
    document.getElementById("title").textContent = memkit.plain(view.title);
    const verdict = document.getElementById("verdict");
    verdict.textContent = memkit.plain(holds === "comparison" ? view.verdict.replaceAll("`", "") : view.verdict);
    verdict.className = view.failed ? "bad" : "";
    document.getElementById("footer").textContent = `memkit ${view.memkit}. This file holds all that it shows${holds === "recording" ? "; memkit report reads it" : ""}.`;
    build();
    show();
    addEventListener("hashchange", show);
    addEventListener("resize", settle);
    addEventListener("beforeprint", everything);
    addEventListener("afterprint", () => { memkit.printing = false; show(); });
    addEventListener("keydown", event => {
      if (event.key !== "/" || event.target.closest("input, select")) return;
      const search = document.querySelector("[role=tabpanel]:not([hidden]) input[type=search]");
      if (search) { event.preventDefault(); search.focus(); }
    });
    document.documentElement.dataset.ready = "1";
  }

  Object.assign(memkit, { whenShown, whenColoursChange, go, note });
  start().catch(error => {
    document.getElementById("verdict").textContent = `This page cannot be shown here: ${error.message}. It needs Firefox 113, Chromium 80, Safari 16.4 or newer; memkit report FILE reads it anywhere.`;
  });
})(window.memkit);
