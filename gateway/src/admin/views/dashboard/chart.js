
// Live sessions over time: a line an instance.
const SVG = "http://www.w3.org/2000/svg";
const HOUR = 3_600_000;
const SPANS = [2, 5, 10, 15, 30, 60]; // minutes
const TICKS = [1, 2, 5, 10, 15, 20, 30, 60];
const LEGEND = 12;
const EDGE = { top: 8, right: 10, bottom: 22, left: 40 };

class Chart {
  #samples = []; // { time, live: { name: sessions } }, oldest first
  #interval = 5000;
  #names = [];
  #cursor = null; // the sample under the pointer
  #x = () => 0; // where a time is drawn
  #bottom = 0;
  #lines = new Map();

  constructor() {
    new ResizeObserver(() => this.draw()).observe($("plot"));
    const chart = $("chart");
    chart.onpointermove = event => this.#point(this.#nearest(event.offsetX));
    chart.onpointerleave = chart.onblur = () => this.#point(null);
    chart.onkeydown = event => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const index = this.#samples.indexOf(this.#cursor ?? this.#samples.at(-1)) + step;
      this.#point(this.#samples[index] ?? this.#cursor);
    };
  }

  /** The samples that the gateway kept; earlier ones of this page stay. */
  restore({ interval_seconds, samples }) {
    const kept = samples.map(({ at, live_sessions }) => ({ time: Date.parse(at), live: live_sessions }));
    const earlier = this.#samples.filter(sample => !kept.length || sample.time < kept[0].time);
    this.#interval = interval_seconds * 1000;
    this.#samples = [...earlier, ...kept];
    this.draw();
  }

  add({ now, upstreams }) {
    const time = Date.parse(now);
    this.#names = upstreams.map(upstream => upstream.name);
    if (time < (this.#samples.at(-1)?.time ?? 0) + this.#interval * 0.9) return this.#point(this.#cursor);
    const live = Object.fromEntries(upstreams.map(upstream => [upstream.name, upstream.live_sessions]));
    this.#samples = this.#samples.filter(sample => sample.time > time - HOUR);
    this.#samples.push({ time, live });
    this.draw();
  }

  /** Makes one line stand out, or none. */
  highlight(name) {
    $("chart").classList.toggle("picked", is(name));
    for (const [other, line] of this.#lines) line.classList.toggle("pick", other === name);
  }

  draw() {
    const width = $("plot").clientWidth, height = $("plot").clientHeight;
    const end = this.#samples.at(-1)?.time;
    if (!width || !end) return;
    const minutes = SPANS.find(span => end - this.#samples[0].time <= span * 60_000) ?? 60;
    const start = end - minutes * 60_000;
    const shown = this.#samples.filter(sample => sample.time >= start);
    const names = [...new Set(shown.flatMap(sample => Object.keys(sample.live)))];
    const most = Math.max(1, ...shown.map(sample => Math.max(0, ...Object.values(sample.live))));
    const step = nice(most / 4);
    const top = Math.ceil(most / step) * step;
    this.#x = time => EDGE.left + (time - start) / (end - start) * (width - EDGE.left - EDGE.right);
    const y = value => height - EDGE.bottom - value / top * (height - EDGE.top - EDGE.bottom);

    const parts = [];
    for (let value = 0; value <= top; value += step) {
      parts.push(shape("path", { class: "grid", d: `M${EDGE.left} ${y(value)}H${width - EDGE.right}` }));
      parts.push(label(count(value), EDGE.left - 8, y(value) + 4, "end"));
    }
    const every = TICKS.find(tick => minutes / tick <= width / 100) * 60_000;
    for (let time = Math.ceil(start / every) * every; time <= end; time += every) {
      const anchor = this.#x(time) > width - 30 ? "end" : "middle";
      const minute = clock(time, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).slice(-5);
      parts.push(label(minute, this.#x(time), height - 5, anchor));
    }
    $("chart").classList.toggle("crowd", names.length > LEGEND);
    this.#lines = new Map(names.map(name => {
      const line = shape("path", { class: "line", d: this.#path(shown, name, y) });
      paint(line, name);
      return [name, line];
    }));
    parts.push(...this.#lines.values(), shape("path", { class: "cursor", d: "" }));
    $("chart").setAttribute("viewBox", `0 0 ${width} ${height}`);
    $("chart").replaceChildren(...parts);
    this.#bottom = height - EDGE.bottom;
    say($("span"), `over the last ${minutes === 60 ? "hour" : `${minutes} minutes`}`);
    this.#point(this.#cursor);
  }

  /** A line with gaps where samples are missing. */
  #path(samples, name, y) {
    let path = "", last = -Infinity;
    for (const { time, live } of samples) {
      if (!is(live[name])) continue;
      path += `${time - last > this.#interval * 3 ? "M" : "L"}${this.#x(time).toFixed(1)} ${y(live[name]).toFixed(1)}`;
      last = time;
    }
    return path;
  }

  #nearest(x) {
    const distance = sample => Math.abs(this.#x(sample.time) - x);
    return this.#samples.reduce((best, sample) => distance(sample) < distance(best) ? sample : best);
  }

  /** Shows the figures of one sample in the legend, and those of the last one otherwise. */
  #point(cursor) {
    this.#cursor = this.#samples.includes(cursor) ? cursor : null;
    const sample = this.#cursor ?? this.#samples.at(-1);
    if (!sample) return;
    const by = name => sample.live[name] ?? -1;
    const names = [...this.#names].sort((a, b) => by(b) - by(a)).slice(0, LEGEND);
    const shown = this.#names.length > LEGEND ? names : this.#names;
    const items = shown.map(name => {
      const key = shape("svg", { class: "key", viewBox: "0 0 24 4" });
      key.append(shape("path", { d: "M0 2H24" }));
      const figure = element("b", { textContent: count(sample.live[name]) });
      const item = element("li", {}, key, element("span", { textContent: name }), figure);
      paint(item, name);
      item.onpointerenter = () => this.highlight(name);
      item.onpointerleave = () => this.highlight(null);
      return item;
    });
    if (this.#names.length > LEGEND) items.push(element("li", { textContent: `and ${this.#names.length - LEGEND} with fewer` }));
    if (this.#cursor) items.push(element("li", { className: "when", textContent: `at ${clock(sample.time)}` }));
    $("legend").replaceChildren(...items);
    const line = this.#cursor ? `M${this.#x(sample.time)} ${EDGE.top}V${this.#bottom}` : "";
    $("chart").querySelector(".cursor")?.setAttribute("d", line);
    const spoken = shown.map(name => `${name} ${count(sample.live[name])}`).join(", ");
    $("chart").setAttribute("aria-label", `Live sessions at ${clock(sample.time)}: ${spoken}. Arrow keys go back and forth.`);
  }
}

/** The next step of 1, 2 or 5 times a power of ten; sessions are whole. */
function nice(step) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, step)));
  return [1, 2, 5, 10].map(factor => factor * power).find(nicer => nicer >= step);
}

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function label(text, x, y, anchor) {
  const made = shape("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}
