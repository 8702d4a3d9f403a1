// What the words of the page mean. Column heads and facts point here.
(memkit => {
  const TERMS = {
    memory: "Resident memory (RSS) unless the page names another meter: the pages of a process that are in the machine's memory.",
    peak: "The highest memory. Where it is called exact, the kernel's own high-water mark was read and reset at every sample, so "
      + "that nothing between two samples was missed; the page says how far that mark can be off.",
    growth: "By how much memory was higher afterwards than before, summed up over all runs. Negative: it was lower.",
    rise: "The most by which one run went above what there was when it began, transients included.",
    rises: "The sum of the rises of all runs.",
    own: "Without what it called.",
    time: "Time that passed, with all that was called.",
    hits: "How often a line ran.",
    calls: "How often a function was entered by this path.",
    allocated: "Bytes that were asked for in the allocators, with all that was called; freed or not.",
    alive: "Bytes that were allocated here and are not freed at the end.",
    "alive at the peak": "Bytes that were allocated here and were alive when most of the heap was.",
    temporary: "Bytes that were freed by the same call, or run of a line, that allocated them.",
    "handed over": "Work that a call gave to another thread, pool, process or task. It is shown below the call that gave it.",
    PSS: "Proportional set size: a page that several processes share counts once in all, in equal parts.",
    RSS: "Resident set size: a page that several processes share counts once for each of them.",
    span: "A stretch of the program that it named itself, with memkit.span.",
    overlapped: "Others ran meanwhile in the same process: growth and rise are of all of them together.",
    limit: "What limits memory: a control group, the machine, or an rlimit. The line is where it would be reached.",
    crossing: "The moment at which memory reached the limit that was set with --limit, or a threshold of what the program runs in.",
    about: "A part of the growth is an estimate: nobody knows for certain which thread touched these pages.",
    unexplained: "Resident memory that belongs to none of the rows above it.",
    "control group": "What all processes of the group used together, as the group's own counters say.",
  };

  const meaning = name => TERMS[name] ?? null;

  // A link to what a word means, for beside it; null where it means what it says.
  function termLink(name) {
    const text = TERMS[name];
    return text && !memkit.comparisonViews ? memkit.make("a", { class: "term", href: `#about?term=${encodeURIComponent(name)}`, title: text, "aria-label": `what ${name} means` }) : null;
  }

  function glossary(chosen) {
    return memkit.make("dl", {}, Object.entries(TERMS).map(([name, text]) => [
      memkit.make("dt", { id: `term-${name}`, class: name === chosen ? "chosen" : null }, name),
      memkit.make("dd", {}, text),
    ]).flat());
  }

  Object.assign(memkit, { meaning, termLink, glossary });
})(window.memkit);
