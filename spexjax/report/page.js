"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const MINUS = "\u2212", BRACKETS = 8, ARCS = 60, LISTED = 500, ROWS = 20;

  // ---- the sets and the surrogate -------------------------------------------------------------

  function unflatten({ members, sizes, values }) {
    let at = 0;
    return sizes.map((size, k) => ({ members: members.slice(at, (at += size)), value: values[k] }));
  }
  // Without errors every set counts as standing, and no interval is shown.
  const { low, high, stands } = data.sets;
  const sets = unflatten(data.sets).map((s, rank) => ({
    ...s, rank, low: low?.[rank] ?? null, high: high?.[rank] ?? null, stands: !stands || stands[rank] === 1,
  }));
  const several = sets.filter((s) => s.members.length > 1), sure = several.filter((s) => s.stands);
  const aloneOf = new Map(sets.filter((s) => s.members.length === 1).map((s) => [s.members[0], s]));
  const only = byId("only"), listed = (s) => s.stands || !only?.checked;
  const terms = unflatten(data.terms);
  const masked = new Uint8Array(data.n);
  const setsOf = new Map();
  for (const s of sets) {
    for (const i of s.members) {
      if (!setsOf.has(i)) setsOf.set(i, []);
      setsOf.get(i).push(s);
    }
  }
  // What fills a bar: the largest value, with room for intervals that are not much longer.
  function span(values, some) {
    const largest = values.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
    const tip = some.reduce((a, s) => Math.max(a, (s.value < 0 ? -s.low : s.high) ?? 0), largest);
    return Math.min(tip, 1.5 * largest) || 1;
  }
  const strongest = several.reduce((a, s) => Math.max(a, Math.abs(s.value)), 0) || 1;
  const ofSeveral = span(several.map((s) => s.value), several);
  const ofAll = span([...sets.map((s) => s.value), ...data.alone], sets);

  // f(m) = Σ_k (−1)^⟨m, k⟩ F(k), with mᵢ = 1 where feature i is kept.
  function predict(mask) {
    let sum = 0;
    for (const { members, value } of terms) {
      let kept = 0;
      for (const i of members) kept += 1 - mask[i];
      sum += kept % 2 ? -value : value;
    }
    return sum;
  }

  function number(value, digits, plus = true) {
    if (value === null) return "unknown";
    const size = Math.abs(value);
    let text = digits === null ? size.toExponential(2) : size.toFixed(digits);
    const zero = Number(text) === 0;
    return (zero ? "" : value < 0 ? MINUS : plus ? "+" : "") + text;
  }
  const strength = (value) => number(value, data.digits);
  const place = (value) => number(value, data.places);
  const sign = (value) => (value < 0 ? "m" : "p");
  const tone = (s) => (s.stands ? sign(s.value) : "o");
  const ink = (s) => ({ m: "var(--negative)", p: "var(--positive)", o: "var(--muted)" })[tone(s)];
  const nameOf = (s) => s.members.map((i) => data.names[i]).join(" + ");

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // A bar as long as a value is large, with the part of its interval that is on the same side of 0.
  function bar(s, largest) {
    const inner = element("i", { class: `${tone(s)}-fill` });
    inner.style.width = `${(100 * Math.abs(s.value)) / largest}%`;
    const made = element("span", { class: "bar", "aria-hidden": "true" }, inner);
    if (s.low === null || s.high === null) return made;
    const ends = s.value < 0 ? [-s.high, -s.low] : [s.low, s.high];
    const [from, to] = ends.map((x) => Math.min(Math.max(x / largest, 0), 1));
    if (to <= from) return made;
    const whisker = element("u", ends[1] > largest ? { class: "cut" } : {});
    whisker.style.left = `${100 * from}%`;
    whisker.style.width = `${100 * (to - from)}%`;
    made.append(whisker);
    return made;
  }

  // How far the 95 % interval reaches from the value, and what is said of it where one points.
  function error(s) {
    if (s.low === null || s.high === null) return [];
    return [element("small", {}, ` ± ${number(Math.max(s.high - s.value, s.value - s.low), data.digits, false)}`)];
  }
  function doubt(s) {
    if (!stands) return "";
    const interval = s.low === null || s.high === null ? "" : `95 %: ${strength(s.low)} to ${strength(s.high)}; `;
    return `${interval}${s.stands ? "stands" : "does not stand: no effect of its own that is told from chance"}`;
  }

  // ---- the prediction -------------------------------------------------------------------------

  const whole = predict(new Uint8Array(data.n)), none = predict(new Uint8Array(data.n).fill(1));

  function showPrediction() {
    const now = predict(masked), count = masked.reduce((a, b) => a + b, 0);
    byId("now").textContent = place(now);
    byId("masked").textContent =
      count === 0 ? "nothing masked" : `${count} of ${data.n} masked`;
    const change = byId("change");
    const why = element("span", { class: "why" }, " by masking");
    change.replaceChildren(...(count ? [place(now - whole), why] : []));
    change.className = `${sign(now - whole)}-ink`;
    byId("keep-all").disabled = count === 0;
    byId("mask-all").disabled = count === data.n;

    const ends = [whole, none, now, data.full, data.empty].filter((v) => v !== null);
    let low = Math.min(...ends), high = Math.max(...ends);
    const room = 0.16 * (high - low) || 1;
    low -= room;
    high += room;
    const left = (v) => `${(100 * (v - low)) / (high - low)}%`;
    const gauge = byId("gauge");
    const parts = [element("div", { class: "track" })];
    const run = element("i", { class: `${sign(now - whole)}-fill` });
    run.style.left = left(Math.min(now, whole));
    run.style.width = `${(100 * Math.abs(now - whole)) / (high - low)}%`;
    parts.push(run);
    const known = [["above", data.full, "model, nothing masked"], ["below", data.empty, "model, all masked"]];
    for (const [side, value, label] of known) {
      if (value === null) continue;
      const tick = element("b"), text = element("span", { class: side }, `${label} ${place(value)}`);
      tick.style.left = left(value);
      // Kept inside by leaning: 0 % of its own width at the left end, 100 % at the right.
      text.style.left = left(value);
      text.style.transform = `translateX(-${left(value)})`;
      parts.push(tick, text);
    }
    const dot = gauge.querySelector(".dot") ?? element("div", { class: "dot" });
    gauge.replaceChildren(...parts, dot);
    dot.style.left = left(now);
  }

  // ---- words ----------------------------------------------------------------------------------

  const box = byId("words"), svg = byId("arcs"), picture = box.classList.contains("picture");
  const words = [...box.querySelectorAll(".w")];
  const wordOf = new Map(words.map((w) => [Number(w.dataset.i), w]));
  let places = new Map(), shownWord = null, shownSet = null, chosenWord = null, chosenSet = null;

  function measure() {
    const origin = box.getBoundingClientRect();
    places = new Map();
    const tops = [];
    for (const w of words) {
      const r = w.getClientRects()[0];
      if (!r) continue;
      const p = { left: r.left - origin.left, width: r.width, top: r.top - origin.top, bottom: r.bottom - origin.top };
      const middle = (p.top + p.bottom) / 2;
      if (!tops.length || Math.abs(middle - tops[tops.length - 1]) > r.height / 2) tops.push(middle);
      p.line = tops.length - 1;
      places.set(Number(w.dataset.i), p);
    }
  }

  function draw(kind, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    svg.append(made);
    return made;
  }

  const drawn = (s) => s.members.every((i) => places.has(i));
  const STEP = 10;

  // A bracket per set and line with members of it: legs side by side over a word, sets that end
  // there left, sets that begin there right, so that few cross; shorter brackets lower.
  function layOut(some) {
    const touching = new Map();
    some.forEach((s, k) => {
      const first = s.members[0], last = s.members[s.members.length - 1];
      for (const i of s.members) {
        const side = i === last ? 0 : i === first ? 2 : 1;
        const length = (last - first) * (side === 2 ? -1 : 1);
        touching.set(i, [...(touching.get(i) ?? []), { side, length, k }]);
      }
    });
    const leg = new Map();
    for (const [i, list] of touching) {
      list.sort((a, b) => a.side - b.side || a.length - b.length || a.k - b.k);
      const p = places.get(i);
      list.forEach(({ k }, j) => leg.set(`${k} ${i}`, p.left + (p.width * (j + 1)) / (list.length + 1)));
    }
    const brackets = [];
    some.forEach((s, k) => {
      const lines = [...new Set(s.members.map((i) => places.get(i).line))].sort((a, b) => a - b);
      for (const line of lines) {
        const here = s.members.filter((i) => places.get(i).line === line);
        const legs = here.map((i) => leg.get(`${k} ${i}`)).sort((a, b) => a - b);
        const before = line > lines[0], after = line < lines[lines.length - 1];
        brackets.push({
          k, s, line, legs, before, after, top: places.get(here[0]).top,
          start: legs[0] - 12 * before, end: legs[legs.length - 1] + 12 * after,
        });
      }
    });
    brackets.sort((a, b) => a.line - b.line || a.end - a.start - (b.end - b.start) || a.k - b.k);
    const taken = [];
    for (const b of brackets) {
      const clash = (o) =>
        o.line === b.line && o.level === b.level && o.start - 18 < b.end && b.start - 18 < o.end;
      for (b.level = 0; taken.some(clash); b.level++);
      taken.push(b);
    }
    return brackets;
  }

  function drawBracket(b) {
    const y = b.top - 5 - STEP * b.level, color = ink(b.s);
    const stroke = { stroke: color, "stroke-width": 1.2 + 1.8 * (Math.abs(b.s.value) / strongest) };
    const path = b.legs.map((x) => `M${x} ${b.top - 1}V${y}`).join("");
    draw("path", { ...stroke, d: `${path}M${b.legs[0]} ${y}H${b.legs[b.legs.length - 1]}` });
    for (const x of b.legs) draw("circle", { cx: x, cy: y, r: 2.4, fill: color });
    if (b.before) draw("path", { ...stroke, d: `M${b.legs[0]} ${y}H${b.start}`, class: "loose" });
    if (b.after) draw("path", { ...stroke, d: `M${b.legs[b.legs.length - 1]} ${y}H${b.end}`, class: "loose" });
  }

  function drawNumber(b) {
    const y = b.top - 5 - STEP * b.level + 4;
    draw("text", { x: b.start - 5, y, "text-anchor": "end", fill: ink(b.s) }, String(b.k + 1));
  }

  // In a picture: the cell's frame, and a bow from one cell's middle to the next one's.
  function drawFrame(i, s, inset) {
    const p = places.get(i), share = Math.abs(s.value) / strongest;
    const d = wordOf.get(i).getAttribute("d") ?? "";
    let kind = "rect", at = { x: p.left + inset, y: p.top + inset, width: Math.max(p.width - 2 * inset, 1), height: Math.max(p.bottom - p.top - 2 * inset, 1), rx: 2 };
    if (d && !/^M[\d ]+(L[\d ]+){3}Z$/.test(d)) {
      const own = wordOf.get(i).getBBox(), scale = p.width / own.width;
      kind = "path";
      at = { d, transform: `translate(${p.left - scale * own.x} ${p.top - scale * own.y}) scale(${scale})`, "vector-effect": "non-scaling-stroke" };
    }
    draw(kind, { ...at, class: "cell halo", "stroke-width": 3.4 + 1.6 * share });
    draw(kind, { ...at, class: "cell", stroke: ink(s), "stroke-width": 1.6 + 1.6 * share });
  }

  function drawBow(from, to, s) {
    const a = places.get(from), b = places.get(to), share = Math.abs(s.value) / strongest;
    const [x, y, u, v] = [a.left + a.width / 2, (a.top + a.bottom) / 2, b.left + b.width / 2, (b.top + b.bottom) / 2];
    const bend = 0.14, d = `M${x} ${y}Q${(x + u) / 2 + bend * (v - y)} ${(y + v) / 2 - bend * (u - x)} ${u} ${v}`;
    draw("path", { d, class: "halo", "stroke-width": 3.4 + 2.6 * share });
    draw("path", { d, stroke: ink(s), "stroke-width": 1.6 + 2.6 * share });
    for (const [cx, cy] of [[x, y], [u, v]]) draw("circle", { cx, cy, r: 3.2, fill: ink(s) });
    return { x: (x + u) / 2 + (bend * (v - y)) / 2, y: (y + v) / 2 - (bend * (u - x)) / 2 };
  }

  function drawSet(s, k) {
    s.members.forEach((i) => drawFrame(i, s, 1.5 + 2 * (k % 3)));
    let middle = null;
    for (let j = 1; j < s.members.length; j++) middle = drawBow(s.members[j - 1], s.members[j], s);
    if (middle) draw("text", { ...middle, "text-anchor": "middle", dy: 4, fill: ink(s) }, String(k + 1));
  }

  // An arc above the line, or from line to line a curve that leaves and arrives upright.
  function drawArc(from, to, s) {
    const a = places.get(from), b = places.get(to);
    if (!a || !b) return;
    if (picture) return void drawBow(from, to, s);
    const share = Math.abs(s.value) / strongest;
    const look = { stroke: ink(s), "stroke-width": 1.2 + 2.6 * share, "stroke-opacity": 0.45 + 0.5 * share };
    const x = a.left + a.width / 2, u = b.left + b.width / 2;
    if (a.line === b.line) {
      const rise = Math.min(10 + 0.06 * Math.abs(x - u), 24);
      draw("path", { ...look, d: `M${x} ${a.top}C${x} ${a.top - rise} ${u} ${b.top - rise} ${u} ${b.top}` });
      return;
    }
    const down = a.line < b.line, y = down ? a.bottom : a.top, v = down ? b.top : b.bottom;
    const lean = (v - y) / 2 || 10;
    draw("path", { ...look, d: `M${x} ${y}C${x} ${y + lean} ${u} ${v - lean} ${u} ${v}` });
  }

  // A line with brackets is made higher, upwards only: the beginning of its first word gets a
  // higher line box that is raised by half of what it has more, with the letters lowered again.
  function raise(word, line, extra) {
    if (box.classList.contains("names")) {
      word.style.marginTop = `${extra}px`;
      return;
    }
    const text = word.textContent, head = text.match(/^\S*/)[0];
    const low = element("span", {}, head), high = element("span", {}, low);
    high.style.lineHeight = `${line + extra}px`;
    high.style.verticalAlign = `${extra / 2}px`;
    low.style.lineHeight = `${line}px`;
    low.style.verticalAlign = `${-extra / 2}px`;
    word.replaceChildren(high, text.slice(head.length));
  }

  let resting = [], raised = [];
  function rest() {
    if (picture) {
      measure();
      return paint();
    }
    for (const word of raised) {
      word.replaceChildren(word.textContent);
      word.style.marginTop = "";
    }
    measure();
    const chosen = sure.filter(drawn).slice(0, BRACKETS), levels = new Map(), first = new Map();
    for (const b of layOut(chosen)) levels.set(b.line, Math.max(levels.get(b.line) ?? 0, b.level + 1));
    for (const [i, p] of places) if (!first.has(p.line)) first.set(p.line, wordOf.get(i));
    const line = parseFloat(getComputedStyle(box).lineHeight);
    const sample = places.values().next().value ?? { top: 0, bottom: 0 };
    raised = [];
    for (const [k, count] of levels) {
      const extra = STEP * count + 8 - line + sample.bottom - sample.top;
      if (extra <= 0) continue;
      raised.push(first.get(k));
      raise(first.get(k), line, extra);
    }
    measure();
    resting = layOut(chosen);
    paint();
  }

  function paint() {
    svg.replaceChildren();
    for (const w of words) w.classList.remove("at", "with-p", "with-m", "with-o");
    for (const b of document.querySelectorAll("button.at, tr.at")) b.classList.remove("at");
    const word = shownWord ?? chosenWord, set = shownSet ?? (shownWord === null ? chosenSet : null);
    if (set) {
      for (const i of set.members) wordOf.get(i)?.classList.add(`with-${tone(set)}`);
      for (const b of document.querySelectorAll(`[data-set="${set.rank}"]`)) b.classList.add("at");
      const there = set.members.filter((i) => places.has(i));
      for (let k = 1; k < there.length; k++) drawArc(there[k - 1], there[k], set);
    } else if (word !== null) {
      const found = sharedBy(word), best = new Map();
      // What stands is drawn before what does not.
      for (const s of [...found.filter((s) => s.stands), ...found.filter((s) => !s.stands)]) {
        for (const i of s.members) if (i !== word && !best.has(i)) best.set(i, s);
      }
      for (const [i, s] of [...best].slice(0, ARCS).reverse()) drawArc(word, i, s);
      for (const [i, s] of best) wordOf.get(i)?.classList.add(`with-${tone(s)}`);
    } else if (picture) {
      const worth = (s) => drawn(s) && Math.abs(s.value) >= 0.01 * strongest;
      sure.filter(worth).slice(0, BRACKETS).map((s, k) => [s, k]).reverse().forEach(([s, k]) => drawSet(s, k));
    } else {
      resting.forEach(drawBracket);
      resting.forEach(drawNumber);
    }
    if (word !== null) wordOf.get(word)?.classList.add("at");
    showPanel(word);
  }

  const sharedBy = (word) => (setsOf.get(word) ?? []).filter((s) => s.members.length > 1 && listed(s));

  function showPanel(word) {
    const panel = byId("panel");
    panel.classList.toggle("idle", word === null);
    if (word === null) {
      panel.replaceChildren(element("p", { class: "hint" }, "The sets that a chosen one is in are listed here."));
      return;
    }
    const shared = sharedBy(word), alone = aloneOf.get(word);
    const toggleButton = element("button", { type: "button", class: "mask" }, masked[word] ? "Keep it" : "Mask it");
    toggleButton.addEventListener("click", () => toggle(word));
    const list = element("ol");
    for (const s of shared.slice(0, LISTED)) {
      const others = s.members.filter((i) => i !== word).map((i) => data.names[i]).join(" + ");
      const value = element("b", {}, strength(s.value)), name = element("span", {}, `+ ${others}`);
      list.append(element("li", look(s), name, element("span", { class: "number" }, value, ...error(s)), bar(s, ofSeveral)));
    }
    if (shared.length > LISTED) list.append(element("li", {}, `and ${shared.length - LISTED} weaker ones`));
    const many = shared.length === 1 ? "one set with others" : `${shared.length || "no"} sets with others`;
    panel.replaceChildren(
      element("h3", {}, data.names[word]),
      element(
        "p", { class: "alone" }, strength(data.alone[word]), ...(alone ? error(alone) : []),
        ` alone${alone && !alone.stands ? " (does not stand)" : ""}, in ${many}`,
      ),
      toggleButton,
      list,
    );
  }

  function toggle(i) {
    masked[i] ^= 1;
    update();
  }

  function update() {
    for (const [i, w] of wordOf) w.setAttribute("aria-pressed", masked[i] ? "true" : "false");
    showPrediction();
    showPanel(shownWord ?? chosenWord);
  }

  const target = (event) => {
    const w = event.target.closest?.(".w");
    return w ? Number(w.dataset.i) : null;
  };
  let pointer = "mouse";
  box.addEventListener("pointerdown", (event) => (pointer = event.pointerType));
  box.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    shownWord = target(event);
    paint();
  });
  box.addEventListener("pointerleave", () => {
    shownWord = null;
    paint();
  });
  box.addEventListener("click", (event) => {
    const i = target(event);
    const again = i !== null && i === chosenWord;
    chosenWord = i;
    chosenSet = shownWord = null;
    if (i !== null) {
      reach(wordOf.get(i));
      if (pointer === "mouse" || again) toggle(i);
    }
    paint();
    if (i !== null) uncover(wordOf.get(i));
  });

  // On narrow screens the list lies over the lower part of the text: scroll the word above it.
  function uncover(w) {
    if (!matchMedia("(max-width: 56rem)").matches) return;
    const over = w.getBoundingClientRect().bottom + 16 - byId("panel").getBoundingClientRect().top;
    if (over > 0) window.scrollBy({ top: over, behavior: "smooth" });
  }

  // One stop of the tab key; arrows go from word to word.
  function reach(w, focus = false) {
    for (const other of box.querySelectorAll(".w[tabindex='0']")) other.tabIndex = -1;
    w.tabIndex = 0;
    if (focus) w.focus();
  }
  if (words.length) reach(words[0]);

  function nearest(i, step) {
    const here = places.get(i), middle = here.left + here.width / 2;
    let best = null, distance = Infinity;
    for (const [k, p] of places) {
      const off = Math.abs(p.left + p.width / 2 - middle);
      if (p.line === here.line + step && off < distance) [best, distance] = [k, off];
    }
    return best === null ? null : wordOf.get(best);
  }

  box.addEventListener("keydown", (event) => {
    const i = target(event);
    if (i === null) return;
    const k = words.indexOf(wordOf.get(i));
    const moves = {
      ArrowRight: () => words[k + 1], ArrowLeft: () => words[k - 1],
      ArrowDown: () => nearest(i, 1), ArrowUp: () => nearest(i, -1),
      Home: () => words[0], End: () => words[words.length - 1],
    };
    if (event.key in moves) {
      const to = moves[event.key]();
      if (to) reach(to, true);
    } else if (event.key === "Enter" || event.key === " ") {
      toggle(i);
    } else if (event.key === "Escape") {
      chosenWord = chosenSet = shownWord = null;
      paint();
    } else return;
    event.preventDefault();
  });
  box.addEventListener("focusin", (event) => {
    const i = target(event);
    if (i === null || !event.target.matches(":focus-visible")) return;
    chosenWord = i;
    chosenSet = null;
    paint();
  });

  for (const [id, value] of [["keep-all", 0], ["mask-all", 1]]) {
    byId(id).addEventListener("click", () => {
      masked.fill(value);
      update();
    });
  }

  // ---- sets: the key under the words, and the table ---------------------------------------------

  const look = (s) => ({ ...(stands ? { title: doubt(s) } : {}), ...(s.stands ? {} : { class: "doubtful" }) });

  function setButton(s, ...content) {
    const made = element("button", { type: "button", "data-set": s.rank }, ...content);
    made.addEventListener("click", () => {
      chosenSet = chosenSet === s ? null : s;
      chosenWord = null;
      paint();
      if (chosenSet) wordOf.get(s.members[0])?.scrollIntoView({ block: "center", behavior: "smooth" });
    });
    watch(made, s);
    return made;
  }

  function watch(item, s) {
    item.addEventListener("pointerenter", (event) => {
      if (event.pointerType !== "mouse") return;
      shownSet = s;
      paint();
    });
    item.addEventListener("pointerleave", () => {
      shownSet = null;
      paint();
    });
  }

  function showKey() {
    sure.filter(drawn).slice(0, BRACKETS).forEach((s, k) => {
      const rank = element("b", { class: `${sign(s.value)}-ink` }, String(k + 1));
      const row = setButton(s, rank, element("span", {}, strength(s.value)), element("em", {}, nameOf(s)));
      byId("key").append(element("li", look(s), row));
    });
    byId("key").hidden = sure.length === 0;
  }

  const keys = {
    strength: (a, b) => b.rank - a.rank,
    value: (a, b) => a.value - b.value,
    order: (a, b) => a.members.length - b.members.length || b.rank - a.rank,
    set: (a, b) => nameOf(a).localeCompare(nameOf(b)),
  };
  let by = "strength", falling = true, limit = ROWS;

  function showTable() {
    const wanted = byId("filter").value.trim().toLowerCase();
    const named = (s) => s.members.some((i) => data.names[i].toLowerCase().includes(wanted));
    const found = sets.filter((s) => listed(s) && named(s));
    found.sort((a, b) => (falling ? -1 : 1) * keys[by](a, b));
    const rows = found.slice(0, limit).map((s) => {
      const row = element(
        "tr", { "data-set": s.rank, ...look(s) },
        element("td", {}, bar(s, ofAll)), element("td", {}, strength(s.value), ...error(s)),
        element("td", {}, String(s.members.length)), element("td", {}, setButton(s, nameOf(s))),
      );
      watch(row, s);
      return row;
    });
    byId("rows").replaceChildren(...rows);
    byId("count").textContent = `${found.length} ${found.length === 1 ? "set" : "sets"}`;
    byId("more").hidden = found.length <= limit;
    for (const button of document.querySelectorAll("th button")) {
      const heading = button.closest("th");
      if (button.dataset.by === by) heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    }
  }

  for (const button of document.querySelectorAll("th button")) {
    button.addEventListener("click", () => {
      falling = by === button.dataset.by ? !falling : button.dataset.by !== "set";
      by = button.dataset.by;
      limit = ROWS;
      showTable();
    });
  }
  byId("filter").addEventListener("input", () => {
    limit = ROWS;
    showTable();
  });
  only?.addEventListener("change", () => {
    limit = ROWS;
    showTable();
    paint();
  });
  byId("more").addEventListener("click", () => {
    limit += 5 * ROWS;
    showTable();
  });

  showPrediction();
  showTable();
  measure();
  showKey();
  rest();
  new ResizeObserver(() => rest()).observe(byId("words-title").parentElement);
  document.fonts?.ready.then(rest);
})();
