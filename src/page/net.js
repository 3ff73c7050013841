// Requests with the token of this tab, and the live stream, which comes back by itself.

const TOKEN = "orderhook.token";
const OPERATOR = "orderhook.operator";

// The token lives as long as the tab. It goes out only where this code sends it: there is no cookie.
function token() { return sessionStorage.getItem(TOKEN) || ""; }

// The node's clock, as far as it is known: that of whoever looks may be wrong by hours.
const nodeClock = {
  at: null,
  read: 0,
  set(at) {
    this.at = at;
    this.read = performance.now();
  },
  now() { return this.at === null ? Date.now() : this.at + (performance.now() - this.read); },
};

class HttpError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// Nobody waits longer for one answer. The stream has no end, and looks after itself.
const LONGEST_REQUEST_MS = 10000;

async function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token()) headers.set("Authorization", "Bearer " + token());
  const signal = options.signal || AbortSignal.timeout(LONGEST_REQUEST_MS);
  const response = await fetch(path, { ...options, signal, headers, cache: "no-store", credentials: "omit" });
  if (!response.ok) {
    let text = response.status + " " + response.statusText;
    try {
      text = (await response.json()).errors[0].message;
    } catch {
      // Not one of our own answers; the status says what there is to say.
    }
    throw new HttpError(response.status, text);
  }
  return response;
}

// What went wrong, in words.
function whyNot(error) {
  if (error.status) return error.message;
  return error.name === "TimeoutError" ? "no answer for a long time" : "no answer";
}

// A stream on which nothing was heard for so long is dead: the node sends something every second.
const SILENCE_MS = 5000;
const SLOWEST_RETRY_MS = 4000;

// Keeps one stream open for as long as the page lives. `told` gets every event, `state` is told
// "open", "lost", "full" (too many look already) or "refused" (the token is wrong or missing).
class LiveStream {
  constructor(told, state) {
    this.told = told;
    this.state = state;
    this.controller = null;
    this.heard = 0;
    this.wake = null;
    setInterval(() => this.check(), 1000);
    document.addEventListener("visibilitychange", () => this.check());
    window.addEventListener("online", () => this.again());
    this.run();
  }

  check() {
    if (this.controller && performance.now() - this.heard > SILENCE_MS) this.controller.abort();
  }

  // Tries now, whatever the pause.
  again() {
    if (this.wake) this.wake();
    else if (this.controller) this.controller.abort();
  }

  async run() {
    let pause = 500;
    for (;;) {
      try {
        await this.once(() => { pause = 500; });
        this.state("lost", "the node ended the stream");
      } catch (error) {
        if (error.status === 401) {
          this.state("refused", error.message);
          await new Promise((resolve) => { this.wake = resolve; });
          this.wake = null;
          continue;
        }
        this.state(error.status === 429 ? "full" : "lost", whyNot(error));
      }
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, pause);
      });
      this.wake = null;
      pause = Math.min(pause * 2, SLOWEST_RETRY_MS);
    }
  }

  async once(opened) {
    this.controller = new AbortController();
    this.heard = performance.now();
    try {
      const response = await request("/api/live", { signal: this.controller.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      opened();
      this.state("open");
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        this.heard = performance.now();
        text += value;
        let end;
        while ((end = text.indexOf("\n\n")) >= 0) {
          this.event(text.slice(0, end));
          text = text.slice(end + 2);
        }
      }
    } finally {
      this.controller.abort();
      this.controller = null;
    }
  }

  event(block) {
    let name = "";
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (name && data) this.told(name, JSON.parse(data));
  }
}

// Builds an element. Text goes in as text: nothing from outside is ever parsed as HTML.
function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function byId(id) { return document.getElementById(id); }

const pad = (number) => String(number).padStart(2, "0");

function clock(time) {
  const date = new Date(time);
  return pad(date.getHours()) + ":" + pad(date.getMinutes()) + ":" + pad(date.getSeconds());
}

// With the day when it is not today.
function moment(time) {
  if (!time) return "–";
  const date = new Date(time);
  const today = date.toDateString() === new Date(nodeClock.now()).toDateString();
  return today ? clock(time) : date.getFullYear() + "-" + pad(date.getMonth() + 1) + "-" + pad(date.getDate()) + " " + clock(time);
}

function when(time) {
  const element = el("time", { class: "when" }, moment(time));
  if (time) {
    element.dateTime = new Date(time).toISOString();
    element.title = element.dateTime;
  }
  return element;
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + pad(s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + pad(Math.floor((s % 3600) / 60)) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

// Three digits are what the eye takes in.
function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return (value / 1e6).toFixed(size >= 1e7 ? 0 : 1) + "M";
  if (size >= 1e4) return (value / 1e3).toFixed(size >= 1e5 ? 0 : 1) + "k";
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}

function millis(value) {
  if (value === null || value === undefined) return "–";
  return value >= 1000 ? short(value / 1000) + " s" : short(value) + " ms";
}

function orderLink(id) { return el("a", { href: "#/orders/" + encodeURIComponent(id), class: "id" }, id); }
