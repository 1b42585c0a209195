
// Rates, from counters that only grow.
const WINDOW = 10_000;

class Rates {
  #seen = new Map();

  /** Takes the counters of all upstreams, and returns the rates of each. */
  update({ now, upstreams }) {
    const time = Date.parse(now);
    const seen = this.#seen;
    this.#seen = new Map();
    const rates = new Map();
    for (const upstream of upstreams) {
      const counted = {
        time,
        requests: upstream.requests,
        received: upstream.traffic?.received_bytes ?? null,
        sent: upstream.traffic?.sent_bytes ?? null,
      };
      let before = (seen.get(upstream.name) ?? []).filter(past => past.time > time - WINDOW && past.time < time);
      // An upstream that was removed and added again counts from zero.
      if (before.some(past => past.requests > counted.requests)) before = [];
      this.#seen.set(upstream.name, [...before, counted]);
      rates.set(upstream.name, difference(before[0], counted));
    }
    return rates;
  }
}

function difference(before, after) {
  const of = what => before && is(after[what]) ? (after[what] - before[what]) / (after.time - before.time) * 1e3 : null;
  return { requests: of("requests"), received: of("received"), sent: of("sent") };
}

/** The sum of what is known; nothing where nothing is. */
const sum = values => values.filter(is).reduce((total, value) => (total ?? 0) + value, null);

// Each instance's colour, by the order in which they were first seen; beyond the colours there are dashes.
const HUES = [258, 152, 55, 350, 305, 200, 100, 25];
const DASHES = ["", "5 3", "1.5 3"];
const slots = new Map();

function paint(element, name) {
  if (!slots.has(name)) slots.set(name, slots.size);
  const slot = slots.get(name);
  element.style.setProperty("--hue", HUES[slot % HUES.length]);
  element.style.setProperty("--dash", DASHES[Math.floor(slot / HUES.length) % DASHES.length] || "none");
}
