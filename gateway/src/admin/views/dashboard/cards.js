
// A card for each instance, created once and then updated, so that focus and open details stay.
const MOST = 500;

class Card {
  constructor(upstream, chart, act) {
    this.root = $("card").content.cloneNode(true).firstElementChild;
    this.part = selector => this.root.querySelector(selector);
    this.root.dataset.instance = upstream.name;
    say(this.part("h3"), upstream.name);
    paint(this.root, upstream.name);
    this.root.onpointerenter = () => chart.highlight(upstream.name);
    this.root.onpointerleave = () => chart.highlight(null);
    this.root.addEventListener("focusin", () => chart.highlight(upstream.name));
    this.root.addEventListener("focusout", () => chart.highlight(null));
    for (const action of ["drain", "weight", "remove"]) {
      const isDrained = () => action === "drain" && this.upstream.state === "draining";
      this.part(`.${action}`).onclick = () => act[isDrained() ? "resume" : action](this.upstream);
    }
    for (const button of this.root.querySelectorAll("button")) button.setAttribute("aria-describedby", this.#id(upstream));
    this.part("h3").id = this.#id(upstream);
    this.part("details").ontoggle = () => this.#showReasons();
  }

  #id(upstream) { return `instance-${slots.get(upstream.name)}`; }

  #figure(name, text) { say(this.part(`[data-figure=${name}]`), text); }

  update(upstream, rates, now, most) {
    this.upstream = upstream;
    const { traffic, report } = upstream;
    this.root.dataset.state = upstream.state;
    say(this.part(".state"), upstream.state);
    say(this.part(".address span"), upstream.address);
    say(this.part(".origin"), upstream.origin ?? "");
    say(this.part(".cause"), story(upstream));
    say(this.part(".sessions b"), count(upstream.live_sessions));
    this.part(".sessions i").style.width = `${upstream.live_sessions / most * 100}%`;
    this.#figure("rate", rate(rates.requests));
    this.#figure("flight", count(upstream.in_flight) + (upstream.max_in_flight ? `/${count(upstream.max_in_flight)}` : ""));
    this.#figure("p50", latency(traffic?.response_seconds.p50));
    this.#figure("p99", latency(traffic?.response_seconds.p99));
    this.#figure("tunnels", count(traffic?.tunnels));
    this.#figure("weight", count(upstream.weight));
    this.#figure("received", perSecond(rates.received));
    this.#figure("sent", perSecond(rates.sent));
    const ago = report && elapsed(Date.parse(now) - Date.parse(report.at));
    say(this.part(".reported"), report ? `Its own report, ${ago} ago` : "No reports");
    this.part(".report").classList.toggle("none", !report);
    this.#figure("own", count(report?.sessions));
    this.#figure("memory", size(report?.memory_bytes));
    this.#figure("threads", count(report?.threads));
    this.#figure("cpu", is(report?.cpu) ? report.cpu.toFixed(2) : NONE);
    say(this.part(".drain"), upstream.state === "draining" ? "Resume…" : "Drain…");
    this.#showReasons();
  }

  #showReasons() {
    if (!this.part("details").open) return;
    const why = Object.entries(this.upstream.decisions).filter(([, requests]) => requests > 0);
    const line = ([reason, requests]) => element("div", {},
      element("dt", { textContent: reason, title: REASONS[reason] ?? "" }), element("dd", { textContent: count(requests) }));
    this.part(".why").replaceChildren(...why.map(line));
  }
}

/** The cause of the state of an instance, since when, and until when. */
function story({ cause, since, origin, registration, drain }) {
  const parts = [since ? `${cause}, since ${clock(since)}` : origin === cause ? "since the start" : `${cause}, since the start`];
  if (registration) parts.push(`registered until ${clock(registration.expires)}`);
  if (drain?.deadline) parts.push(`sessions leave from ${clock(drain.deadline)}`);
  return parts.join(" · ");
}

class Cards {
  #cards = new Map();
  #last = null;

  constructor(chart, act) {
    this.create = upstream => new Card(upstream, chart, act);
    $("filter").oninput = () => { if (this.#last) this.update(...this.#last); };
  }

  /** Shows the instances that pass the filter, up to a number that a page can bear. */
  update(status, rates) {
    this.#last = [status, rates];
    const { now, upstreams } = status;
    const wanted = $("filter").value.trim().toLowerCase();
    const fits = ({ name, address, state }) => [name, address, state].some(text => text.toLowerCase().includes(wanted));
    const shown = upstreams.filter(fits).slice(0, MOST);
    const most = Math.max(1, ...upstreams.map(upstream => upstream.live_sessions));
    this.#removeBut(new Set(shown.map(upstream => upstream.name)));
    shown.forEach((upstream, index) => {
      if (!this.#cards.has(upstream.name)) this.#cards.set(upstream.name, this.create(upstream));
      const card = this.#cards.get(upstream.name);
      card.update(upstream, rates.get(upstream.name), now, most);
      const place = $("instances").children[index];
      if (place !== card.root) $("instances").insertBefore(card.root, place ?? null);
    });
    const states = Object.entries(Object.groupBy(upstreams, upstream => upstream.state));
    const tally = states.map(([state, those]) => `${count(those.length)} ${state}`).join(", ");
    say($("shown"), shown.length === upstreams.length ? tally : `${count(shown.length)} of ${count(upstreams.length)} shown`);
  }

  #removeBut(names) {
    for (const [name, card] of this.#cards) {
      if (names.has(name)) continue;
      if (card.root.contains(document.activeElement)) $("all-title").focus();
      card.root.remove();
      this.#cards.delete(name);
    }
  }
}
