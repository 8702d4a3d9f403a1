// How it was measured, how exact that is, what it cost, and what the words mean.
(memkit => {
  const { make, showBytes, showTime, showCount } = memkit;

  function about(state) {
    const { recording, view } = memkit;
    const of = recording.about;
    const rows = [
      ["command", of.argv.join(" ")],
      ["recorded", `${view.when}${of.host ? ` on ${of.host}` : ""}, process ${of.pid}`],
      ["versions", `memkit ${of.memkit}, ${of.python ? `Python ${of.python}` : "from outside the program"}; this page: memkit ${view.memkit}`],
      ["meter", `${of.meter}, ${of.interval ? `every ${showTime(of.interval)}` : "at growing intervals"}, by the ${of.engine} engine`],
      ["peaks", { reset: "exact: the high-water mark was read and reset at every sample", mark: "the high-water mark was read", samples: "the highest that was seen" }[of.peaks] ?? of.peaks],
    ];
    if (of.peaks_reason) rows.push(["", of.peaks_reason]);
    if (of.peaks_error) rows.push(["", `by how the kernel counts, an exact peak can be off by ${showBytes(of.peaks_error)}`]);
    if (of.stacks_reason) rows.push(["stacks", of.stacks_reason]);
    for (const [name, tracing] of [["lines", recording.tracing], ["calls", recording.call_tracing]]) {
      if (!tracing) continue;
      rows.push([name, `${showCount(tracing.events)} traced by ${tracing.tracer}, memory read ${showCount(tracing.reads)} times (gate ${tracing.gate}${tracing.reason ? `: ${tracing.reason}` : ""}); it took about ${showTime(tracing.cost)}`]);
    }
    if (recording.heap) rows.push(["heap", `${recording.heap.counted}; at most ${showBytes(recording.heap.peak)} alive, ${showBytes(recording.heap.alive)} ${recording.heap.as_of === null ? "at the end" : "when it was last written"}${recording.heap.uncounted ? `; not counted: ${recording.heap.uncounted}` : ""}`]);
    if (recording.seen) rows.push(["processes", `found by ${recording.seen}${recording.seen_reason ? ` (${recording.seen_reason})` : ""}, added up by ${recording.summed}`]);
    for (const note of view.notes) rows.push(["page", note]);
    return make("div", {},
      memkit.facts(rows.map(([label, text]) => [label, null, [[text, "text"]]])),
      make("h2", {}, "What it cost"), memkit.facts(view.cost),
      make("h2", {}, "What the words mean"), memkit.glossary(state.term),
      make("h2", {}, "Scripts"), make("p", { class: "faint" }, "Curves are drawn by uPlot 1.6.32, MIT License, © 2022 Leon Sorokin. The page asks no server for anything."));
  }

  Object.assign(memkit, { about });
})(window.memkit);
