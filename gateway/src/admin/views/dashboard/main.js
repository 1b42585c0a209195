
// The page: requests the figures, follows the events, and shows when the connection to the gateway is lost.
const EACH = 2000;
const STALE = 60_000;

const chart = new Chart();
const rates = new Rates();
let status = null;
let received = 0; // when the last figures arrived
let wake = () => {};

const act = actions(() => wake(), () => status.upstreams);
const cards = new Cards(chart, act);

function show() {
  const { upstreams } = status;
  const each = rates.update(status);
  const total = (name, text) => say($("totals").querySelector(`[data-figure=${name}]`), text);
  const all = what => sum(upstreams.map(what));
  total("accepting", `${upstreams.filter(upstream => upstream.accepting).length} of ${upstreams.length}`);
  total("sessions", count(all(upstream => upstream.live_sessions)));
  total("requests", rate(sum([...each.values()].map(one => one.requests))));
  total("flight", count(all(upstream => upstream.in_flight)));
  total("waiting", count(status.waiting));
  total("tunnels", count(all(upstream => upstream.traffic?.tunnels)));
  total("received", perSecond(sum([...each.values()].map(one => one.received))));
  total("generation", status.generation);
  $("panic").hidden = !status.panic;
  $("main").hidden = $("add").hidden = false;
  cards.update(status, each);
  showReasons(upstreams);
  chart.add(status);
}

/** Shows whether the gateway responds, and why where it refuses. */
function link(state, why = "Connection lost") {
  $("link").dataset.link = document.body.dataset.link = state;
  say($("link-text"), state === "live" ? "Live" : `${why}: ${received ? "these figures are old" : "there is nothing to show"}`);
  say($("link-age"), state === "live" || !received ? "" : `${elapsed(Date.now() - received)} · trying again`);
}

async function ask(isFirst) {
  const figures = await get("/api/v1/upstreams");
  if (isFirst) chart.restore(await get("/api/v1/history"));
  return figures;
}

async function watch() {
  let why;
  setInterval(() => { if (why || (received && Date.now() - received > STALE)) link("lost", why); }, 1000);
  for (let isFirst = true; ; ) {
    const started = Date.now();
    const figures = await ask(isFirst).catch(error => {
      why = error instanceof Problem ? error.message : "Connection lost";
    });
    isFirst = !figures;
    if (figures) {
      why = undefined;
      received = Date.now();
      status = figures;
      show();
    }
    link(figures ? "live" : "lost", why);
    // With many instances the response is long: the pause is ten times what it took.
    const rest = Math.min(STALE / 2, Math.max(EACH, 10 * (Date.now() - started)));
    await Promise.race([pause(rest), new Promise(woken => { wake = woken; })]);
  }
}

say($("place"), location.host);
document.title = `Homing · ${location.host}`;
$("add").onclick = act.add;
watch();
follow({
  opened() { say($("stream"), ""); },
  received(events) { log(events); wake(); },
  lost(error) { say($("stream"), error instanceof Problem ? error.message : "interrupted"); wake(); },
});
