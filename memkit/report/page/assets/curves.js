// Memory over time: curves with zoom, pan and hover, drawn by uPlot.
(memkit => {
  const { make, showBytes, showTime, colour } = memkit;
  const SECOND = 1e9;
  const HEIGHT = 300;

  // `series` are {name, colour, values, fill, dash}; `marks` are functions of (context, plot) that draw over the curves.
  function chart(times, series, { marks = [], under = [], most = 0, bands = [], moved = () => {}, clicked = () => {} } = {}) {
    const axis = () => ({ stroke: colour("faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") } });
    const root = make("div", { class: "curve", tabindex: 0, role: "img", "aria-label": "memory over time" });
    const options = () => ({
      width: Math.max(320, root.clientWidth || 900),
      height: HEIGHT,
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high, most, 1) * 1.05] } },
      axes: [
        { ...axis(), values: (_, splits) => splits.map(each => showTime(Math.round(each * SECOND))), space: 90 },
        { ...axis(), values: (_, splits) => splits.map(each => showBytes(each)), size: 92, incrs: INCREMENTS },
      ],
      series: [{}, ...series.map(each => ({
        label: each.name, stroke: colour(each.colour) || each.colour, width: each.width ?? 1.5, dash: each.dash, spanGaps: true,
        fill: each.fill, paths: each.smooth ? undefined : uPlot.paths.stepped({ align: 1 }), points: { show: times.length < 3 },
      }))],
      bands,
      cursor: { drag: { x: true, y: false } },
      hooks: {
        drawClear: [plot => under.forEach(draw => draw(plot.ctx, plot))],
        draw: [plot => marks.forEach(draw => draw(plot.ctx, plot))],
        setCursor: [plot => moved(plot.cursor.idx, plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") * SECOND : null)],
      },
      legend: { show: false },
    });
    const data = [times.map(each => each / SECOND), ...series.map(each => each.values)];
    let plot = null;
    const draw = () => {
      const before = plot && { min: plot.scales.x.min, max: plot.scales.x.max };
      plot?.destroy();
      plot = new uPlot(options(), data, root);
      if (before) plot.setScale("x", before);
      plot.over.addEventListener("click", () => {
        if (plot.cursor.left >= 0) clicked(plot.posToVal(plot.cursor.left, "x") * SECOND);
      });
    };
    memkit.whenShown(root, draw);
    memkit.whenColoursChange(() => plot && draw());
    const whole = () => plot.setScale("x", { min: data[0][0], max: data[0].at(-1) });
    const zoom = (factor, shift = 0) => {
      const { min, max } = plot.scales.x;
      const middle = (min + max) / 2 + shift * (max - min);
      const half = ((max - min) / 2) * factor;
      plot.setScale("x", { min: Math.max(data[0][0], middle - half), max: Math.min(data[0].at(-1), middle + half) });
    };
    root.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      if (event.shiftKey) zoom(1, Math.sign(event.deltaY || event.deltaX) * 0.1);
      else zoom(event.deltaY > 0 ? 1.25 : 0.8);
    }, { passive: false });
    root.addEventListener("keydown", event => {
      const does = { "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.6), 0: whole, ArrowLeft: () => zoom(1, -0.2),
        ArrowRight: () => zoom(1, 0.2) }[event.key];
      if (does) { event.preventDefault(); does(); }
    });
    const buttons = make("div", { class: "controls" },
      make("button", { type: "button", onclick: () => zoom(0.6) }, "Zoom in"),
      make("button", { type: "button", onclick: () => zoom(1.6) }, "Zoom out"),
      make("button", { type: "button", onclick: () => zoom(1, -0.3), "aria-label": "Earlier" }, "◀"),
      make("button", { type: "button", onclick: () => zoom(1, 0.3), "aria-label": "Later" }, "▶"),
      make("button", { type: "button", onclick: whole }, "All"),
      make("span", { class: "faint" }, "drag to zoom, double-click for all; keys + − ← → 0"));
    return make("div", {}, root, buttons);
  }

  const INCREMENTS = [];
  for (let unit = 1; unit <= 1024 ** 4; unit *= 1024) {
    for (const step of [1, 2, 5, 10, 20, 50, 100, 200, 500]) INCREMENTS.push(unit * step);
  }

  function legend(entries) {
    return make("div", { class: "legend" }, entries.map(({ name, colour: which, dashed, term }) => {
      const key = make("i");
      key.style.background = dashed ? `repeating-linear-gradient(90deg, ${which} 0 5px, transparent 5px 8px)` : which;
      return make("span", { class: "key", title: memkit.meaning(term ?? name) }, key, name, memkit.termLink(term ?? name));
    }));
  }

  // The x of a moment in the plot, in pixels of the canvas; null outside of what is shown.
  function across(plot, time) {
    const at = plot.valToPos(time / SECOND, "x", true);
    return at < plot.bbox.left - 1 || at > plot.bbox.left + plot.bbox.width + 1 ? null : at;
  }

  function upright(time, what, dash = []) {
    return (context, plot) => {
      const at = across(plot, time);
      if (at === null) return;
      line(context, what, dash, [at, plot.bbox.top], [at, plot.bbox.top + plot.bbox.height]);
    };
  }

  function level(size, name, which) {
    return (context, plot) => {
      const at = plot.valToPos(size, "y", true);
      if (at < plot.bbox.top || at > plot.bbox.top + plot.bbox.height) return;
      line(context, colour(which), [8, 5], [plot.bbox.left, at], [plot.bbox.left + plot.bbox.width, at]);
      context.save();
      context.fillStyle = colour(which);
      context.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      context.textAlign = "right";
      context.textBaseline = "alphabetic";
      context.fillText(name, plot.bbox.left + plot.bbox.width - 6, at - 5 * devicePixelRatio);
      context.restore();
    };
  }

  function line(context, stroke, dash, from, to) {
    context.save();
    context.strokeStyle = stroke;
    context.lineWidth = 1.5 * devicePixelRatio;
    context.setLineDash(dash.map(each => each * devicePixelRatio));
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    context.restore();
  }

  Object.assign(memkit, { chart, legend, across, upright, level });
})(window.memkit);
