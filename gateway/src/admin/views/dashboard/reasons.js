
// The reasons why requests were placed where they were, and what each of them means.
const REASONS = {
  pinned: "A valid token named this instance, and it served.",
  new: "No token: a first visit, or a client that keeps no cookies. The policy chose.",
  no_such_upstream: "The token named an instance that is no longer there.",
  not_serving: "The session's instance did not serve, or had just failed this request.",
  full: "The session's instance was at its limit of requests in flight.",
  other_incarnation: "The session's instance is another process than the one that held it: its memory is gone.",
  expired: "The session was older than affinity.max_age.",
  idle: "The session was without a request for longer than affinity.idle.",
  bad_tag: "The token's signature is wrong: altered, forged, or of another pool.",
  unknown_key: "The token was signed with a key that is not in the ring.",
  malformed: "The value of the cookie has not the length or the alphabet of a token.",
  other_version: "The token was of another version of the format.",
  drained: "The session's instance was being drained, and this session had to leave.",
  rebalanced: "The session's instance held more than its share, and this session was moved to one with fewer.",
};

function showReasons(upstreams) {
  const totals = new Map();
  for (const { decisions } of upstreams) {
    for (const [reason, requests] of Object.entries(decisions)) totals.set(reason, (totals.get(reason) ?? 0) + requests);
  }
  const all = sum([...totals.values()]) || 1;
  const order = Object.keys(REASONS);
  const place = ([reason]) => (order.indexOf(reason) + order.length) % order.length;
  const rows = [...totals].sort((a, b) => place(a) - place(b)).map(([reason, requests]) => {
    const share = requests / all * 100;
    const row = element("tr", { className: requests ? "" : "none" },
      element("th", { scope: "row", textContent: reason }),
      element("td", { textContent: count(requests) }),
      element("td", { textContent: requests ? `${share < 0.1 ? "<0.1" : share.toFixed(1)} %` : NONE }),
      element("td", { textContent: REASONS[reason] ?? "" }));
    row.dataset.reason = reason;
    return row;
  });
  $("reasons").replaceChildren(...rows);
}
