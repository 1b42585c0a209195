
// The interface of this gateway: requests, the token that they may need, and the stream of events.
const REQUEST_TIMEOUT = 10_000;
const STREAM_TIMEOUT = 40_000; // the stream has a comment each 15 seconds at least

/** A refused request; its message says what to do. */
class Problem extends Error {
  constructor(status, { code, detail } = {}) {
    super(detail ?? `the gateway answered ${status}`);
    this.code = code;
  }
}

let asked = null; // the promise of a token, while the login form is shown

function askForToken(wasRefused) {
  asked ??= new Promise(given => {
    $("main").hidden = $("add").hidden = true;
    $("login").hidden = false;
    say($("link-text"), "Waiting for the token");
    say($("login-error"), wasRefused ? "That is not the token of this gateway." : "");
    $("token").focus();
    $("login").querySelector("form").onsubmit = submitted => {
      submitted.preventDefault();
      sessionStorage.setItem("token", $("token").value.trim());
      $("token").value = "";
      $("login").hidden = true;
      asked = null;
      given();
    };
  });
  return asked;
}

/** A response that is not refused; on 401 it asks for the token and tries again. */
async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem("token");
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const signal = options.signal ?? AbortSignal.timeout(REQUEST_TIMEOUT);
    const response = await fetch(path, { ...options, headers, signal, cache: "no-store" });
    if (response.ok) return response;
    if (response.status !== 401) throw new Problem(response.status, await response.json().catch(() => ({})));
    // Another request may have asked for a new one meanwhile.
    if (token === sessionStorage.getItem("token")) await askForToken(token !== null);
  }
}

async function get(path) {
  const response = await request(path);
  return response.json();
}

async function send(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await request(path, { method, headers, body: body && JSON.stringify(body) });
  return response.json();
}

const post = (path, body = {}) => send("POST", path, body);
const at = (name, what) => `/api/v1/upstreams/${encodeURIComponent(name)}/${what}`;

/** Follows the events forever, from the last one received on. `received` gets those that arrive together. */
async function follow({ opened, received, lost }) {
  let last = null;
  for (;;) {
    const control = new AbortController();
    let timer;
    const wait = () => { clearTimeout(timer); timer = setTimeout(() => control.abort(), STREAM_TIMEOUT); };
    wait();
    try {
      const headers = last === null ? {} : { "Last-Event-ID": last };
      const response = await request("/api/v1/events", { headers, signal: control.signal });
      opened();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (wait(); ; wait()) {
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        const events = blocks.map(parse).filter(event => event.data !== "");
        last = events.findLast(event => event.id !== null)?.id ?? last;
        if (events.length) received(events);
      }
      lost();
    } catch (error) {
      lost(error);
    }
    clearTimeout(timer);
    await pause(2000);
  }
}

/** One server-sent event. */
function parse(block) {
  const event = { id: null, kind: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, field, value] = /^(\w*): ?(.*)$/.exec(line) ?? [];
    if (field === "id") event.id = value;
    if (field === "event") event.kind = value;
    if (field === "data") event.data += value;
  }
  return event;
}
