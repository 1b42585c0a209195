
// Figures for people. A missing one is a dash.
const NONE = "–";
const whole = new Intl.NumberFormat("en");
const SIZES = ["B", "kB", "MB", "GB", "TB"];

const is = value => value !== null && value !== undefined;
const count = value => is(value) ? whole.format(value) : NONE;
const digits = value => value < 9.95 ? value.toFixed(1) : whole.format(Math.round(value));
const rate = value => !is(value) ? NONE : value === 0 ? "0" : value < 0.05 ? "<0.1" : digits(value);

function size(bytes) {
  if (!is(bytes)) return NONE;
  let unit = 0;
  while (bytes >= 999.5 && unit < SIZES.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit === 0 ? Math.round(bytes) : digits(bytes)} ${SIZES[unit]}`;
}

const perSecond = bytes => is(bytes) ? `${size(bytes)}/s` : NONE;

function latency(seconds) {
  if (!is(seconds)) return NONE;
  return seconds < 1 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds)} s`;
}

function elapsed(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1e3));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** A time in the time zone of the browser, with the day where it is not today. */
function clock(time, form = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }) {
  const at = new Date(time);
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.toLocaleDateString("en-CA")} `;
  return day + at.toLocaleTimeString("en", form);
}

const $ = id => document.getElementById(id);

/** Sets a text, as text: nothing that comes from the interface is ever markup. */
function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const pause = milliseconds => new Promise(done => setTimeout(done, milliseconds));
