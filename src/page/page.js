// The overview, and what ties everything together.

const WORD = { green: "All is well", yellow: "Look within the hour", red: "Look now" };
const page = { hello: null, state: null, attention: null, drawn: {} };

// What the page was delivered with stands until the node has said its name.
function nodeName() { return page.hello ? page.hello.node : byId("node").textContent; }

function tile(name, value, note, kind) {
  return el("div", { class: "tile " + (kind || "") }, el("dt", {}, name), el("dd", {}, value, el("span", { class: "note" }, note || "")));
}

function lamp(colour, word, reasons, since) {
  byId("light").className = "light " + colour;
  byId("light-word").textContent = word;
  byId("light-reasons").replaceChildren(...reasons.map((reason) => el("li", { class: reasons.length > 1 ? reason.colour : null }, reason.text,
    reason.advice ? el("span", { class: "advice" }, reason.advice) : null)));
  byId("light-since").textContent = since || "";
  const paint = { green: "#12a566", yellow: "#eaa800", red: "#e5343f" }[colour] || "#8a93a0";
  const dot = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="7" fill="' + paint + '"/></svg>';
  byId("icon").href = "data:image/svg+xml," + encodeURIComponent(dot);
  // The node first: of many tabs only the beginning is seen.
  document.title = nodeName() + " · " + (colour === "green" ? "orderhook" : word);
}

function showLight() {
  const { light, changes } = page.state;
  const since = changes.length ? "since " + moment(changes[0].at) : "";
  lamp(light.colour, WORD[light.colour], light.reasons, since);
}

function showTiles() {
  const { state, hello } = page;
  const perSecond = hello.events.reduce((sum, event) => sum + (latestRate("hooks." + event) || 0), 0);
  const [p50, p99, late] = [figures.latest("p50_us"), figures.latest("p99_us"), figures.sum("late")];
  const depth = state.mailboxes.reduce((sum, mailbox) => sum + mailbox.depth, 0);
  const refused = state.mailboxes.reduce((sum, mailbox) => sum + mailbox.refused, 0);
  const [commits, rows] = [latestRate("commits"), latestRate("commit_rows")];
  const { notifier, outbox, process } = state;
  const [shared, writers] = state.pools;
  const waited = shared.waited_for + writers.waited_for;
  const busy = (pool) => pool.open - pool.available;
  // Who sends in the pool is read from the database, and may be a quarter of a minute old.
  const sender = page.attention && page.attention.sender;
  const elsewhere = !sender ? "nobody is known to send" : sender.silent_seconds > 10 ? "nobody sends; last " + sender.node : sender.node + " sends";
  const telegram = !hello.has_bot ? "log only" : notifier.token_refused ? "token refused" : notifier.epoch === null ? "standby" : "sending";
  const toTelegram = !hello.has_bot ? "no token is set: staff are told nothing"
    : notifier.epoch === null ? elsewhere : notifier.under_way + " under way, " + notifier.paused_chats.by_failures + " failing";
  const milliseconds = (micros) => (micros === null ? null : micros / 1000);
  byId("tiles").replaceChildren(
    tile("Hooks per second", short(perSecond), short(state.hooks_answered) + " since the start"),
    tile("Answer time p99", millis(milliseconds(p99)), "p50 " + millis(milliseconds(p50)), p99 >= hello.answer_deadline_ms * 1000 ? "bad" : ""),
    tile("Not in time", short(late), "in 15 min, " + short(state.hooks_late) + " since the start", figures.latest("late") ? "bad" : late ? "warn" : ""),
    tile("In mailboxes", short(depth), "standing wait " + millis(state.standing_wait_micros / 1000) + ", turn " + millis(state.turn_wait_micros / 1000) + ", " + short(refused) + " refused",
      state.standing_wait_micros * 16 > hello.answer_deadline_ms * 1000 || state.turn_wait_micros > 25000 ? "warn" : ""),
    tile("Commits", el("span", {}, short(commits), el("small", {}, " /s")), (commits ? short(rows / commits) + " rows each, " : "") + state.commits_in_flight + " under way"),
    outbox === null ? tile("Outbox", "–", state.outbox_read_at ? "not known since " + moment(state.outbox_read_at) : "not known yet", "warn")
      : tile("Outbox", short(outbox.pending) + (outbox.pending < hello.outbox_counted ? "" : "+"), outbox.pending ? "oldest " + span(outbox.oldest_seconds) : "nothing waits", outbox.oldest_seconds > hello.outbox_limit_s ? "warn" : ""),
    tile("Telegram", telegram, toTelegram, notifier.token_refused ? "bad" : !hello.has_bot || notifier.paused_chats.by_failures ? "warn" : ""),
    tile("Order actors", short(state.orders_active), "in memory"),
    tile("Connections", el("span", {}, String(busy(shared) + busy(writers)), el("small", {}, " of " + (shared.bound + writers.bound))),
      waited ? waited + " waited for" : busy(writers) + " of them by writers", waited ? "warn" : ""),
    tile("Memory", process && process.resident_bytes ? short(process.resident_bytes / 1048576) + " MB" : "–", process ? process.threads + " threads, " + process.open_files + " files" : ""),
  );
}

// Stands above the overview and above an order.
function showNode() {
  const { state, hello } = page;
  byId("node").textContent = hello.node;
  byId("about").textContent = "version " + hello.version + " · up " + span(state.uptime_seconds) + " · node's time " + clock(state.at);
}

// Fills a card when what it shows has changed, so that a selection in it survives.
function card(id, key, content, count) {
  const now = JSON.stringify(key);
  if (page.drawn[id] === now) return;
  page.drawn[id] = now;
  const place = byId(id);
  place.querySelector(".rows").replaceChildren(content());
  const old = place.querySelector(".count");
  if (old) old.remove();
  if (count) place.querySelector("h2").append(el("span", { class: "count" }, String(count)));
}

function showState() {
  const { state } = page;
  showLight();
  if (document.hidden) return;
  showNode();
  if (byId("overview").hidden) return;
  showTiles();
  card("busiest", state.busiest_orders, () => table(
    [{ name: "Order" }, { name: "Depth", num: true }, { name: "Under way for", num: true }],
    state.busiest_orders.map((order) => [orderLink(order.order_id), String(order.depth), millis(order.standing_millis)]),
    "No order has anything to do."));
  card("changes", state.changes, () => table(
    [{ name: "At" }, { name: "Light" }, { name: "Because" }],
    state.changes.map((change) => [when(change.at), badge(change.colour, { green: "good", yellow: "warn", red: "bad" }[change.colour]), change.reason]),
    "None since the start."));
  const micros = (timing) => (timing.count ? millis(timing.mean_micros / 1000) + " / " + millis(timing.max_micros / 1000) : "–");
  card("mailboxes", state.mailboxes, () => table(
    [{ name: "Actor" }, { name: "Message" }, { name: "Depth", num: true }, { name: "High water", num: true, wide: true }, { name: "Deepest now / ever", num: true, wide: true }, { name: "Half full", num: true, wide: true },
      { name: "Refused", num: true }, { name: "Handled", num: true, wide: true }, { name: "Wait mean / max", num: true }, { name: "Handling mean / max", num: true, wide: true }],
    state.mailboxes.flatMap((mailbox) => mailbox.messages.map((message, index) => [
      index ? "" : mailbox.actor, message.message, short(message.depth), short(message.high_water),
      index ? "" : short(mailbox.deepest_now) + " / " + short(mailbox.deepest), index ? "" : short(mailbox.half_full), short(message.refused),
      short(message.handle.count), micros(message.wait), micros(message.handle)])),
    ""));
}

function enableButton(chatId) {
  const said = el("span", { class: "said", role: "status" });
  const button = el("button", { class: "quiet small", type: "button", onclick: async () => {
    try {
      const done = await withAccess("Tell this chat again?", "What waits for it is sent at once. Recorded with your name.", true,
        () => act("/api/chats/" + encodeURIComponent(chatId) + "/enable"));
      if (!done) return;
      said.className = "said good";
      said.textContent = done.waiting ? "Enabled; notices that go out now: " + done.waiting + "." : "Enabled; nothing had waited.";
    } catch (error) {
      said.className = "said bad";
      said.textContent = "Not done: " + whyNot(error) + ".";
    }
  } }, "Enable");
  return el("span", {}, button, " ", said);
}

function showAttention() {
  const found = page.attention;
  const canAct = page.hello.can_act;
  const stale = byId("stale");
  stale.hidden = !found.failure && found.read_at !== null;
  stale.textContent = found.read_at === null ? "What needs a person is not known yet" + (found.failure ? ": " + found.failure + "." : ".")
    : "As it was at " + moment(found.read_at) + "; it cannot be read again: " + found.failure + ".";
  // Nothing known is not the same as nothing there.
  if (found.read_at === null) {
    for (const id of ["stores", "chats", "conflicts", "rejects", "announced", "actions"]) {
      card(id, null, () => el("p", { class: "none-yet" }, "Not known yet."));
    }
    return;
  }
  card("stores", found.stores_without_chat, () => table(
    [{ name: "Store" }, { name: "Role" }, { name: "Notices", num: true }, { name: "Oldest" }],
    found.stores_without_chat.map((store) => [store.store_id, store.role, store.notices + (store.notices === 100 ? "+" : ""), when(store.oldest_at)]),
    "Every store with open orders has somebody who is told."), found.stores_without_chat_count);
  card("chats", [found.chats_disabled, canAct], () => table(
    [{ name: "Chat" }, { name: "Since" }, { name: "Why" }, { name: "" }],
    found.chats_disabled.map((chat) => [el("span", { class: "id" }, chat.chat_id, el("br"), chat.told_about.join(", ")), when(chat.disabled_at), chat.reason, canAct ? enableButton(chat.chat_id) : ""]),
    "Telegram refuses none."), found.chats_disabled_count);
  card("conflicts", found.conflicts, () => table(
    [{ name: "Order" }, { name: "Store" }, { name: "Status" }, { name: "Since" }],
    found.conflicts.map((order) => [orderLink(order.order_id), order.store_id, order.status, when(order.found_at)]),
    "None."), found.fresh_conflicts_count);
  card("rejects", [found.rejects, canAct], () => table(
    [{ name: "At" }, { name: "Order" }, { name: "Event" }, { name: "Why" }],
    found.rejects.map((reject) => {
      const body = el("div");
      const why = (reject.errors || []).map((error) => el("div", {}, error.field + ": " + error.message));
      return [when(reject.received_at), reject.order_id ? orderLink(reject.order_id) : "–", reject.event,
        el("div", {}, why, canAct ? el("div", { class: "buttons" }, bodyButton(reject.delivery_id, body)) : null, body)];
    }),
    "None."), found.fresh_rejects_count);
  card("announced", found.announced, () => table(
    [{ name: "Order" }, { name: "Last heard of" }],
    found.announced.map((order) => [orderLink(order.order_id), when(order.updated_at)]),
    "None for longer than 10 minutes."), found.announced_count);
  card("actions", found.actions, () => table(
    [{ name: "At" }, { name: "Who" }, { name: "What" }, { name: "Result" }],
    found.actions.map((action) => [when(action.acted_at), action.operator, el("span", {}, action.action.replace("_", " ") + " ", el("span", { class: "id" }, action.subject)), action.result || "under way"]),
    canAct ? "Nothing yet." : "Nothing yet: this node only shows."));
}

const told = {
  hello(hello) {
    const rebuilt = !page.hello || page.hello.columns.join() !== hello.columns.join() || page.hello.answer_deadline_ms !== hello.answer_deadline_ms;
    page.hello = hello;
    nodeClock.set(hello.at);
    figures.hello(hello);
    if (rebuilt) charts.build(hello);
    byId("access").hidden = !hello.can_act;
  },
  history(rows) { figures.history(rows); },
  rows(rows) { figures.add(rows); },
  state(state) {
    page.state = state;
    nodeClock.set(state.at);
    showState();
    charts.draw();
  },
  attention(attention) {
    page.attention = attention;
    showAttention();
  },
  end() {},
};

let lostAt = null;
const stream = new LiveStream(
  (name, data) => told[name]?.(data),
  (state, why) => {
    if (state === "open") {
      lostAt = null;
    } else if (state === "refused") {
      lamp("none", "This node asks for its token", [], "");
      byId("access").hidden = false;
    } else if (state === "full") {
      lamp("none", "Nothing is known of this node here", [{ text: "It answers; " + why + ". The page tries again by itself, and begins when somebody leaves." }], "");
    } else {
      lostAt = lostAt || nodeClock.now();
      lamp("red", "No connection to this node", [{ colour: "red", text: "Since " + clock(lostAt) + ": " + why + ". The page tries again by itself." }], "");
    }
  });

byId("access").addEventListener("click", async () => {
  if (await ask("Token of this node", "", { always: true })) {
    stream.again();
    if (orderView.id) orderView.load();
  }
});

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = byId("search-id").value.trim();
  if (!id) return;
  const to = "#/orders/" + encodeURIComponent(id);
  if (location.hash === to) orderView.load();
  else location.hash = to;
});

function route() {
  const match = location.hash.match(/^#\/orders\/(.+)$/);
  byId("overview").hidden = !!match;
  byId("order").hidden = !match;
  if (match) {
    let id = match[1];
    try {
      id = decodeURIComponent(id);
    } catch {
      // Typed by hand and no escape at all: taken as it is.
    }
    byId("search-id").value = id;
    orderView.show(id);
  } else {
    orderView.id = null;
    refresh();
  }
}

// Everything that was not drawn while nobody could see it.
function refresh() {
  if (document.hidden || !page.state) return;
  showState();
  if (page.attention) showAttention();
  charts.draw();
}

window.addEventListener("hashchange", route);
document.addEventListener("visibilitychange", refresh);
route();
