// The charts of the last 15 minutes. Figures are kept in one bounded list of rows, whatever happens.

const figures = {
  columns: [], // Names of what a row holds.
  rows: [], // Oldest first.
  span: 900,

  hello(hello) {
    if (this.columns.join() !== hello.columns.join()) this.rows = [];
    this.columns = hello.columns;
    this.span = hello.history_s;
  },

  // The node's own memory replaces ours; what is older than it (the node was restarted) stays.
  history(rows) {
    const first = rows.length ? rows[0][0] : Infinity;
    const older = this.rows.filter((row) => row[0] < first);
    this.rows = older.concat(rows);
    this.trim();
  },

  add(rows) {
    // The node's clock was set back: what it said of the future is not so.
    if (rows.length) this.rows = this.rows.filter((row) => row[0] < rows[0][0] + BACK_MS);
    const newest = this.rows.length ? this.rows[this.rows.length - 1][0] : 0;
    for (const row of rows) if (row[0] > newest) this.rows.push(row);
    this.trim();
  },

  trim() {
    const oldest = nodeClock.now() - (this.span + 5) * 1000;
    let from = Math.max(0, this.rows.length - 2 * this.span);
    while (from < this.rows.length && this.rows[from][0] < oldest) from++;
    if (from > 0) this.rows = this.rows.slice(from);
  },

  index(name) { return this.columns.indexOf(name); },

  // One column over time; a hole where seconds are missing.
  column(pick) { return this.gapped.map((row) => (row === null ? null : pick(row))); },

  // Seconds, and the rows at them with null where nothing is known.
  prepare() {
    this.times = [];
    this.gapped = [];
    let before = null;
    for (const row of this.rows) {
      if (before !== null && row[0] - before > 3500) {
        this.times.push((before + 1000) / 1000);
        this.gapped.push(null);
      }
      this.times.push(row[0] / 1000);
      this.gapped.push(row);
      before = row[0];
    }
  },

  latest(name) {
    const row = this.rows[this.rows.length - 1];
    return row ? row[this.index(name)] : null;
  },

  sum(name) {
    const index = this.index(name);
    return this.rows.reduce((sum, row) => sum + (row[index] || 0), 0);
  },
};

// Less than that is no clock that was set back.
const BACK_MS = 5000;

// A count of a row as one per second: a node that was held up tells several seconds as one row.
const rate = (name) => {
  const [index, ms] = [figures.index(name), figures.index("ms")];
  return (row) => (row[index] === null ? null : row[ms] < 1500 ? row[index] : row[index] * 1000 / row[ms]);
};
const latestRate = (name) => (figures.rows.length ? rate(name)(figures.rows[figures.rows.length - 1]) : null);

const divided = (name, by) => {
  const index = figures.index(name);
  return (row) => (row[index] === null ? null : row[index] / by);
};

// What every chart shows: series with a name and a function from a row to a value.
function chartPlans(hello) {
  const plain = (name) => divided(name, 1);
  const ms = (value) => millis(value);
  return [
    {
      id: "hooks", title: "Hooks per second", unit: "by event, stacked", stacked: true, floor: 5, show: short,
      series: () => hello.events
        .map((event, colour) => ({ name: eventName(event), colour, value: rate("hooks." + event), total: figures.sum("hooks." + event) }))
        .filter((series) => series.total > 0)
        .concat(["unavailable", "busy"].filter((name) => figures.sum(name) > 0)
          .map((name) => ({ name: name === "busy" ? "refused 429" : "refused 503", colour: "--red", value: rate(name), over: true }))),
    },
    {
      id: "answers", title: "Answer time", unit: "logarithmic", log: [1, 10000], show: ms,
      series: () => [
        { name: "p50", colour: 2, value: divided("p50_us", 1000) },
        { name: "p99", colour: 0, value: divided("p99_us", 1000), fill: true },
      ],
      lines: [
        { at: hello.answer_deadline_ms, name: "deadline " + hello.answer_deadline_ms / 1000 + " s", colour: "--yellow" },
        { at: 5000, name: "SM's limit 5 s", colour: "--red" },
      ],
    },
    {
      id: "depth", title: "Mailbox depth", unit: "waiting and under way", floor: 5, show: short,
      series: () => hello.actors.map((actor, colour) => ({ name: actor, colour, value: plain("depth." + actor) })),
    },
    {
      id: "wait", title: "Mailbox wait", unit: "mean of each second, logarithmic", log: [0.01, 1000], show: ms,
      series: () => hello.actors.map((actor, colour) => ({ name: actor, colour, value: divided("wait_us." + actor, 1000) })),
    },
    {
      id: "commits", title: "Group commits", unit: "rows left, time right", floor: 2, rightFloor: 20, show: short,
      series: () => {
        const [count, rows] = [figures.index("commits"), figures.index("commit_rows")];
        return [
          { name: "rows per commit", colour: 0, value: (row) => (row[count] ? row[rows] / row[count] : null) },
          { name: "mean time", colour: 1, value: divided("commit_us", 1000), right: true, show: ms },
          { name: "longest", colour: 5, value: divided("commit_max_us", 1000), right: true, show: ms },
        ].concat(figures.sum("commits_failed") ? [{ name: "failed in passing", colour: "--red", value: rate("commits_failed") }] : []);
      },
    },
    {
      id: "outbox", title: "Outbox", unit: "notices (20k at most) left, age right", floor: 10, rightFloor: 30, show: short,
      series: () => [
        { name: "pending", colour: 0, value: plain("outbox_pending"), fill: true },
        { name: "oldest", colour: 1, value: plain("outbox_oldest_s"), right: true, show: span },
      ],
      rightTicks: { incrs: AGES, show: age },
    },
  ];
}

function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function colourOf(colour) { return css(typeof colour === "number" ? "--c" + colour : colour); }

class Chart {
  constructor(plan, parent) {
    this.plan = plan;
    this.legend = el("ul", { class: "legend" });
    this.plot = el("div", { class: "plot" });
    this.card = el("article", { class: "card chart", id: "chart-" + plan.id },
      el("header", {}, el("h2", {}, plan.title), el("span", {}, plan.unit)), this.legend, this.plot);
    parent.append(this.card);
    this.uplot = null;
    this.shown = "";
    this.resized = new ResizeObserver(() => {
      if (this.uplot && this.plot.clientWidth) this.uplot.setSize({ width: this.plot.clientWidth, height: HEIGHT });
    });
    this.resized.observe(this.plot);
  }

  // The same series as before keep their chart; others, or other colours, get a new one.
  draw(theme) {
    const series = this.plan.series();
    const shown = theme + series.map((one) => one.name).join();
    const values = series.map((one) => figures.column(one.value));
    let drawn = values;
    if (this.plan.stacked) {
      const below = figures.gapped.map(() => 0);
      drawn = values.map((column, index) => (series[index].over ? column
        : column.map((value, at) => (value === null ? null : (below[at] += value)))));
    }
    this.series = series;
    this.values = values;
    // The highest of a stack is painted first, so that each shows its own part.
    const order = series.map((_, index) => index);
    if (this.plan.stacked) order.sort((a, b) => (series[a].over ? 1 : 0) - (series[b].over ? 1 : 0) || b - a);
    const data = [figures.times, ...order.map((index) => drawn[index])];
    if (shown !== this.shown || !this.uplot) {
      if (this.uplot) this.uplot.destroy();
      this.shown = shown;
      this.uplot = new uPlot(this.options(order.map((index) => series[index])), data, this.plot);
      this.chips();
    } else {
      this.uplot.setData(data, false);
    }
    const now = nodeClock.now() / 1000;
    this.uplot.batch(() => {
      this.uplot.setScale("x", { min: now - figures.span, max: now });
      for (const scale of ["y", "right"]) {
        if (this.uplot.scales[scale]) this.uplot.setScale(scale, { min: null, max: null });
      }
    });
    this.label(this.uplot.cursor.idx);
  }

  options(series) {
    const { log, show, stacked } = this.plan;
    // A floor keeps the noise of an idle node from filling the chart.
    const fromZero = (floor) => (_, low, high) => [0, Math.max(high || 0, floor) * 1.08];
    const axis = { stroke: css("--soft"), grid: { stroke: css("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const withRight = series.some((one) => one.right);
    const { incrs = WHOLE, show: rightShow = series.find((one) => one.right)?.show } = this.plan.rightTicks || {};
    return {
      width: this.plot.clientWidth || 400,
      height: HEIGHT,
      padding: [8, withRight ? 0 : 18, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "orderhook" }, points: { size: 6 }, drag: { x: false, y: false }, y: false },
      scales: {
        x: { time: true, auto: false },
        y: log ? { distr: 3, range: () => log } : { range: fromZero(this.plan.floor) },
        ...(withRight ? { right: { range: fromZero(this.plan.rightFloor) } } : {}),
      },
      axes: [
        { ...axis, size: 26, space: 70, values: (_, ticks) => ticks.map((tick) => clock(tick * 1000).slice(0, 5)), incrs: [180, 300] },
        { ...axis, size: log ? 54 : 46, space: 30,
          ...(log ? { splits: () => decades(log), values: (_, ticks) => ticks.map(decade) }
            : { incrs: WHOLE, values: (_, ticks) => ticks.map(show) }) },
        ...(withRight ? [{ ...axis, scale: "right", side: 1, size: 52, space: 30, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => rightShow(tick)), incrs }] : []),
      ],
      series: [
        {},
        ...series.map((one) => {
          const stroke = colourOf(one.colour);
          const fill = (stacked && !one.over) || one.fill;
          return { label: one.name, scale: one.right ? "right" : "y", stroke, width: stacked && !one.over ? 1 : 1.6,
            fill: fill ? stroke + (stacked ? "" : "22") : undefined, points: { show: false }, spanGaps: false };
        }),
      ],
      hooks: { setCursor: [(u) => this.label(u.cursor.idx)], draw: [(u) => this.lines(u)] },
    };
  }

  lines(u) {
    const { ctx, bbox } = u;
    for (const [index, line] of (this.plan.lines || []).entries()) {
      const y = Math.round(u.valToPos(line.at, "y", true));
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      const colour = css(line.colour);
      ctx.save();
      ctx.strokeStyle = colour;
      ctx.fillStyle = colour;
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([5 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.font = 10.5 * devicePixelRatio + "px system-ui, sans-serif";
      // Limits that lie close together have their names at different ends.
      const left = index % 2 === 0;
      ctx.textAlign = left ? "left" : "right";
      ctx.textBaseline = "bottom";
      ctx.fillText(line.name, left ? bbox.left + 4 * devicePixelRatio : bbox.left + bbox.width - 4 * devicePixelRatio, y - 1);
      ctx.restore();
    }
  }

  chips() {
    this.chip = this.series.map((one) => {
      const mark = el("i");
      mark.style.background = colourOf(one.colour);
      const value = el("b");
      const item = el("li", {}, mark, one.name + " ", value);
      return { item, value };
    });
    this.legend.replaceChildren(...this.chip.map((chip) => chip.item));
  }

  // The values under the cursor, else the newest.
  label(index) {
    if (!this.chip || !this.values) return;
    this.series.forEach((one, number) => {
      const column = this.values[number];
      const value = index === null || index === undefined ? column[column.length - 1] : column[index];
      const text = (one.show || this.plan.show)(value ?? null);
      if (this.chip[number]) this.chip[number].value.textContent = text;
    });
  }
}

const HEIGHT = 186;
// Whole numbers are all that is counted.
const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

// Steps of an age that have a short name, in seconds.
const AGES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800];
function age(seconds) {
  if (seconds < 60) return seconds + " s";
  if (seconds < 3600) return short(seconds / 60) + " min";
  return seconds < 86400 ? short(seconds / 3600) + " h" : short(seconds / 86400) + " d";
}

// What was refused at the door was not looked at; that is not to say that it could not be read.
function eventName(event) { return event === "unreadable" ? "not read" : event; }

function decades([low, high]) {
  const all = [];
  for (let value = low; value <= high * 1.001; value *= 10) all.push(Number(value.toPrecision(1)));
  return all;
}

// Milliseconds at a power of ten.
function decade(value) { return value >= 1000 ? value / 1000 + " s" : value + " ms"; }

const charts = {
  all: [],
  theme: 0,
  build(hello) {
    const parent = byId("charts");
    parent.replaceChildren();
    for (const chart of this.all) {
      chart.resized.disconnect();
      if (chart.uplot) chart.uplot.destroy();
    }
    this.all = chartPlans(hello).map((plan) => new Chart(plan, parent));
  },
  draw() {
    if (document.hidden || byId("overview").hidden || !figures.rows.length) return;
    figures.prepare();
    for (const chart of this.all) chart.draw(this.theme);
  },
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  charts.theme++;
  charts.draw();
});
