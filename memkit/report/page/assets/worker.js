// One worker, opened: its curve with limits and words, and what rose most in it.
(memkit => {
  const { make, showBytes, showTime, colour } = memkit;
  const MOST = 50;

  function worker(row, name, spans, crossings) {
    const process = memkit.recording.processes[row.place];
    const samples = memkit.lanesOf(memkit.recording)[row.place];
    const parts = [make("h2", { id: "worker" }, name), make("p", { class: row.died ? "bad" : null }, `process ${process.pid}: ${process.ending.text}`)];
    if (row.ran.length) parts.push(make("p", {}, `At its peak, ${showBytes(row.peak)} at ${showTime(row.at)}, it ran ${row.ran.join(", ")}.`));
    if (samples.length) parts.push(curve(process, samples, spans, crossings));
    const most = [...spans].sort((one, other) => other.rise - one.rise).slice(0, MOST);
    if (most.length) parts.push(make("h3", {}, most.length < spans.length ? "What rose most in it" : "What it ran"), memkit.spanTable(most));
    return make("section", {}, parts);
  }

  function curve(process, samples, spans, crossings) {
    const hover = make("p", { class: "hover", "aria-live": "polite" });
    const peak = Math.max(...samples.map(sample => sample.peak));
    const levels = new Map(crossings.filter(each => each.limit).map(each => [each.limit, showBytes(each.limit)]));
    if (process.limit) levels.set(process.limit, `limit, ${showBytes(process.limit)}`);
    const near = [...levels].filter(([size]) => size < 2 * peak);
    const marks = near.map(([size, words]) => memkit.level(size, words, "limit"));
    marks.push(...crossings.map(each => memkit.upright(each.time, colour("limit"), [4, 3])));
    if (process.ending.text && process.ended !== null) marks.push(memkit.upright(process.ended, colour("faint")));
    const chart = memkit.chart(samples.map(sample => sample.time), [
      { name: "memory", colour: "memory", values: samples.map(sample => sample.memory), width: 2 },
      { name: "peak", colour: "peak", values: samples.map(sample => sample.peak) },
    ], { marks, most: Math.max(peak, ...near.map(([size]) => size)), moved: (place, time) => hover.replaceChildren(told(samples[place], time, spans, crossings)) });
    return make("div", {}, chart, hover);
  }

  function told(sample, time, spans, crossings) {
    if (time === null || !sample) return make("span", { class: "faint" }, "point at the curve for what was at a moment");
    const open = spans.filter(span => span.start <= time && (span.end ?? Infinity) >= time).map(span => span.label);
    const near = crossings.filter(each => Math.abs(each.time - time) < memkit.recording.duration / 60).map(each => each.name);
    const [ran, said] = [open.length ? ` — in ${open.slice(0, 6).join(", ")}` : "", near.length ? ` — ${near.join("; ")}` : ""];
    return make("span", {}, `${showTime(Math.round(sample.time))}: ${showBytes(sample.memory)}, peak ${showBytes(sample.peak)}${ran}${said}`);
  }

  Object.assign(memkit, { worker });
})(window.memkit);
