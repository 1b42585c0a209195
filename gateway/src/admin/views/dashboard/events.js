
// The log of events, newest first.
const LOGGED = 200;

function log(events) {
  for (const { kind, data } of events) {
    const { at, upstream, from, to, text, by, missed, kind: what } = JSON.parse(data);
    const said = kind === "missed" ? `${missed} events are kept no more` : upstream ? text.replace(`${upstream}: `, "") : text;
    const time = element("time", { textContent: at ? clock(at) : NONE, dateTime: at ?? "", title: at ?? "" });
    const name = upstream ? [element("b", { textContent: upstream }), " "] : [];
    const whose = by ? [element("small", { textContent: ` · ${by}` })] : [];
    const line = element("li", {}, time, element("p", {}, ...name, said.replace(" -> ", " → "), ...whose));
    line.dataset.kind = what ?? kind;
    if (from && to) line.dataset.state = to;
    $("log").prepend(line);
  }
  while ($("log").children.length > LOGGED) $("log").lastElementChild.remove();
  // What had happened before this page was opened is not read aloud.
  $("log").ariaBusy = "false";
}
