
// The log of events, newest first.
const LOGGED = 200;

function log(events) {
  for (const { kind, data } of events) {
    const { at, upstream, from, to, text, by, missed, kind: what } = JSON.parse(data);
    const said = kind === "missed" ? `${missed} events are no longer kept` : upstream ? text.replace(`${upstream}: `, "") : text;
    const time = element("time", { textContent: at ? clock(at) : NONE, dateTime: at ?? "", title: at ?? "" });
    const name = upstream ? [element("b", { textContent: upstream }), " "] : [];
    const initiator = by ? [element("small", { textContent: ` · ${by}` })] : [];
    const line = element("li", {}, time, element("p", {}, ...name, said.replace(" -> ", " → "), ...initiator));
    line.dataset.kind = what ?? kind;
    if (from && to) line.dataset.state = to;
    $("log").prepend(line);
  }
  while ($("log").children.length > LOGGED) $("log").lastElementChild.remove();
  // Screen readers do not read events from before the page was opened.
  $("log").ariaBusy = "false";
}
