// One order's whole story, and what an operator may do about it.

const OUTCOME = { applied: "good", duplicate: "plain", parked: "warn", ignored: "plain", rejected: "bad" };
// Answers are recorded in batches, a moment after they were given.
const ANSWER_RECORDED_MS = 15000;
const STATE = { sent: "good", pending: "warn", failed: "bad", no_chat: "warn" };

function badge(text, kind) { return el("span", { class: "badge " + (kind || "plain") }, text); }

function table(head, rows, empty) {
  if (!rows.length) return el("p", { class: "none-yet" }, empty);
  const cell = (tag) => (content, index) => {
    const hint = head[index];
    return el(tag, { class: [hint.num && "num", hint.wide && "wide-only"].filter(Boolean).join(" ") || null }, content ?? "–");
  };
  return el("table", {},
    el("thead", {}, el("tr", {}, head.map((column, index) => cell("th")(column.name, index)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map(cell("td"))))));
}

// Asks for what is missing: the token, the name, or only a yes. Resolves to false when it is declined.
function ask(title, text, { name = false, always = false } = {}) {
  const [dialog, tokenField, operatorField] = [byId("ask"), byId("ask-token"), byId("ask-operator")];
  const needsToken = always || !token();
  if (!needsToken && !name && !text) return Promise.resolve(true);
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = text;
  byId("ask-token-row").hidden = !needsToken;
  byId("ask-operator-row").hidden = !name;
  tokenField.value = "";
  tokenField.required = needsToken;
  operatorField.value = localStorage.getItem(OPERATOR) || "";
  operatorField.required = name;
  return new Promise((resolve) => {
    const form = dialog.querySelector("form");
    const done = (answer) => {
      form.onsubmit = byId("ask-no").onclick = dialog.oncancel = null;
      dialog.close();
      tokenField.value = "";
      resolve(answer);
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      if (needsToken) sessionStorage.setItem(TOKEN, tokenField.value.trim());
      if (name) localStorage.setItem(OPERATOR, operatorField.value.trim());
      done(true);
    };
    byId("ask-no").onclick = () => done(false);
    dialog.oncancel = (event) => { event.preventDefault(); done(false); };
    dialog.showModal();
  });
}

// Does something that needs the token, once more when the token turns out to be wrong.
async function withAccess(title, text, name, work) {
  if (!(await ask(title, text, { name }))) return null;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error.status !== 401) throw error;
      sessionStorage.removeItem(TOKEN);
      if (!(await ask(title, "The token is not accepted.", { name, always: true }))) return null;
      stream.again();
    }
  }
}

function act(path) {
  // The node itself gives a replay ten seconds; whether it was done is worth waiting for.
  return request(path, { method: "POST", signal: AbortSignal.timeout(2 * LONGEST_REQUEST_MS), headers: { "X-Operator": encodeURIComponent(localStorage.getItem(OPERATOR) || "") } })
    .then((response) => response.json());
}

function replayButton(deliveryId, place, after) {
  return el("button", { class: "quiet small", type: "button", onclick: async () => {
    try {
      const done = await withAccess("Play this arrival again?", "It is judged like a new hook and recorded with your name.", true,
        () => act("/api/journal/" + encodeURIComponent(deliveryId) + "/replay"));
      if (!done) return;
      after("Played again: " + done.outcome + ".", "good");
    } catch (error) {
      place.className = "said bad";
      place.textContent = error.status ? "Not played: " + error.message + "." : "It is not known whether it was played: " + whyNot(error) + ".";
    }
  } }, "Play again");
}

function bodyButton(deliveryId, place) {
  return el("button", { class: "quiet small", type: "button", onclick: async () => {
    if (place.firstChild) { place.replaceChildren(); return; }
    try {
      const bytes = await withAccess("Raw body", "", false, () =>
        request("/api/journal/" + encodeURIComponent(deliveryId) + "/body").then((response) => response.arrayBuffer()));
      if (!bytes) return;
      let text = new TextDecoder().decode(bytes);
      try {
        // Only white space changes; numbers keep the digits that were sent.
        text = pretty(text);
      } catch {
        // Shown as it is.
      }
      place.replaceChildren(el("pre", {}, text));
    } catch (error) {
      place.replaceChildren(el("p", { class: "said bad", role: "status" }, "Not shown: " + whyNot(error) + "."));
    }
  } }, "Raw body");
}

// JSON with line breaks, token by token: nothing is parsed into numbers and back.
function pretty(text) {
  JSON.parse(text);
  let depth = 0;
  let out = "";
  const line = () => "\n" + "  ".repeat(depth);
  for (const part of text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) || []) {
    if (part === "{" || part === "[") { depth++; out += part + line(); }
    else if (part === "}" || part === "]") { depth--; out = out.trimEnd(); out += (/[{[]$/.test(out) ? "" : line()) + part; }
    else if (part === ",") out += part + line();
    else if (part === ":") out += ": ";
    else out += part;
  }
  return out;
}

const orderView = {
  id: null,
  said: null,

  // Stands above the order until something else is looked at: the order itself is read anew below it.
  say(text, kind) {
    this.said = { text, kind };
    return this.load();
  },

  async show(id) {
    this.id = id;
    this.said = null;
    const place = byId("order");
    place.replaceChildren(el("p", { class: "none-yet" }, "Looking for " + id + " …"));
    await this.load();
  },

  async load() {
    const id = this.id;
    const place = byId("order");
    try {
      const order = await (await request("/api/orders/" + encodeURIComponent(id))).json();
      if (this.id === id) place.replaceChildren(...this.parts(order));
    } catch (error) {
      if (this.id !== id) return;
      if (error.status === 404) {
        await this.loadArrivals(id);
        return;
      }
      const text = error.status === 401 ? "This node asks for its token." : "It cannot be read now: " + whyNot(error) + ".";
      this.nothing(id, text);
    }
  },

  // There is no order: whatever could not be accepted leaves none, but its arrivals are kept.
  async loadArrivals(id) {
    try {
      const found = await (await request("/api/journal?order_id=" + encodeURIComponent(id))).json();
      if (this.id !== id) return;
      if (!found.events.length) {
        this.nothing(id, "Nothing ever arrived under this id. A body of which not even the order could be read stands among the rejected ones.");
        return;
      }
      byId("order").replaceChildren(
        this.head(id, [badge("no order", "bad")]),
        el("div", { class: "card wide" }, el("p", { class: "none-yet" }, "Nothing that arrived under this id could be accepted: nobody was told anything, and nobody picks it.")),
        el("div", { class: "wide" }, this.timeline(found)));
    } catch (error) {
      if (this.id === id) this.nothing(id, "It cannot be read now: " + whyNot(error) + ".");
    }
  },

  nothing(id, text) {
    byId("order").replaceChildren(
      el("div", { class: "order-head" }, el("h1", { class: "id" }, id)),
      el("div", { class: "card wide" }, el("p", {}, text),
        el("div", { class: "buttons" }, el("button", { class: "quiet", type: "button", onclick: () => this.load() }, "Try again"))));
  },

  head(id, marks) {
    return el("div", { class: "order-head" },
      el("h1", {}, id),
      marks,
      el("button", { class: "quiet small", type: "button", onclick: () => this.show(this.id) }, "Read again"),
      el("a", { class: "back", href: "#/" }, "← Overview"),
      this.said ? el("p", { class: "said wide " + this.said.kind, role: "status" }, this.said.text) : null);
  },

  parts(order) {
    const head = this.head(order.order_id, [
      badge(order.status, order.status === "cancelled" ? "bad" : order.status === "announced" ? "warn" : "good"),
      order.closed ? badge("closed to changes") : null,
      order.conflict ? badge("contradicts itself", "bad") : null,
    ]);
    return [head, el("div", { class: "side" }, this.document(order), this.lines(order), this.notices(order)), this.timeline(order)];
  },

  document(order) {
    const facts = el("dl", { class: "facts" });
    const fact = (name, value) => { if (value !== null && value !== undefined && value !== "") facts.append(el("dt", {}, name), el("dd", {}, value)); };
    fact("Number", order.number);
    fact("Store", order.store_id);
    fact("Version", String(order.version));
    fact("Total", order.total.price && order.total.price + " ₽");
    fact("Discounted", order.total.discount_price && order.total.discount_price + " ₽");
    if (order.delivery_from || order.delivery_to) fact("Window", moment(order.delivery_from) + " – " + moment(order.delivery_to));
    for (const mark of ["created", "paid", "shipped", "delivered", "cancelled"]) {
      if (order[mark + "_at"]) fact(mark[0].toUpperCase() + mark.slice(1), when(order[mark + "_at"]));
    }
    fact("Reason", order.cancel_reason);
    fact("Comment", order.comment);
    return el("article", { class: "card", id: "document" }, el("h2", {}, "Document"), facts);
  },

  lines(order) {
    const head = [{ name: "SKU" }, { name: "Name" }, { name: "Amount", num: true }, { name: "Price", num: true }, { name: "Discounted", num: true, wide: true }, { name: "Replaced by", wide: true }];
    const rows = order.positions.map((line) => [el("span", { class: "id" }, line.id), line.name || "–", line.quantity === "0" ? "removed" : line.quantity, line.price, line.discount_price, line.replaced_by]);
    return el("article", { class: "card", id: "lines" }, el("h2", {}, "Lines"), table(head, rows, "Created has not come: there are no lines."));
  },

  // How an event was answered. It is recorded of created and changed only; one of which it is not was not
  // answered in time, as far as is known, and SM may have cancelled the order although we hold it.
  answer(event) {
    if (event.answer_ms !== null && event.answer_ms !== undefined) return el("span", {}, "answered in " + millis(event.answer_ms));
    const recorded = ["created", "changed"].includes(event.event) && event.outcome !== "rejected" && !event.replay_of;
    const settled = nodeClock.now() - Date.parse(event.received_at) > ANSWER_RECORDED_MS;
    return recorded && settled ? badge("no answer in time recorded", "warn") : null;
  },

  // The items of some events.
  items(events) {
    return events.map((event) => {
      const said = el("div", { class: "said", role: "status" });
      const body = el("div");
      const more = [
        event.order_version ? "version " + event.order_version : "no version",
        event.event_type && event.event_type !== "order." + event.event ? "sent as " + event.event_type : null,
        event.sm_timestamp ? "SM's time " + moment(event.sm_timestamp) : null,
        "node " + event.node,
        event.request_id ? "request " + event.request_id : null,
        event.replay_of ? "replay by " + event.replayed_by : null,
        event.body_bytes === null ? "body pruned" : event.body_bytes + " bytes",
      ].filter(Boolean).join(" · ");
      const errors = (event.errors || []).map((error) => el("div", { class: "more" }, error.field + ": " + error.message));
      return el("li", { class: event.outcome },
        el("div", { class: "line" }, el("b", {}, event.event), badge(event.outcome, OUTCOME[event.outcome]), when(event.received_at),
          this.answer(event),
          (event.notes || []).map((note) => badge(note.replaceAll("_", " "), "warn"))),
        el("div", { class: "more" }, more), errors,
        event.body_bytes === null ? null : el("div", { class: "buttons" },
          bodyButton(event.delivery_id, body), replayButton(event.delivery_id, said, (text, kind) => this.say(text, kind))),
        said, body);
    });
  },

  timeline(order) {
    const list = el("ol", { class: "timeline" }, this.items(order.events));
    const count = el("span", { class: "when" });
    const counted = (more) => { count.textContent = (more ? "the last " : "") + list.children.length + (list.children.length === 1 ? " event" : " events"); };
    counted(order.events_before);
    return el("article", { class: "card", id: "timeline" },
      el("h2", {}, "Timeline", count), this.earlier(order.events_before, list, counted), list);
  },

  // Brings what was left out, page by page.
  earlier(before, list, counted) {
    if (!before) return null;
    const id = this.id;
    const said = el("span", { class: "said bad", role: "status" });
    const button = el("button", { class: "quiet small", type: "button", onclick: async () => {
      button.disabled = true;
      try {
        const page = await (await request("/api/journal?order_id=" + encodeURIComponent(id) + "&before=" + encodeURIComponent(before))).json();
        list.prepend(...this.items(page.events));
        before = page.events_before;
        counted(before);
        row.hidden = !before;
        said.textContent = "";
      } catch (error) {
        said.textContent = "Not read: " + whyNot(error) + ".";
      }
      button.disabled = false;
    } }, "Earlier events");
    const row = el("div", { class: "buttons" }, button, said);
    return row;
  },

  notices(order) {
    const head = [{ name: "Kind" }, { name: "To" }, { name: "State" }, { name: "Written", wide: true }, { name: "Sent" }, { name: "Tries", num: true, wide: true }];
    const rows = order.notices.map((notice) => [
      notice.kind, notice.role + (notice.chat_id === null ? "" : " " + notice.chat_id),
      el("span", {}, badge(notice.state.replace("_", " "), STATE[notice.state]), notice.last_error ? " " + notice.last_error : ""),
      when(notice.created_at), when(notice.sent_at), String(notice.attempts)]);
    return el("article", { class: "card", id: "notices" }, el("h2", {}, "Notices", order.notices_left_out ? el("span", { class: "when" }, "the last " + order.notices.length) : null), table(head, rows, "Nobody was told anything of it."));
  },
};
