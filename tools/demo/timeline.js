// Hover and zoom. The picture is whole without this; every element that lies in time carries its time in data-*.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const svg = document.querySelector("svg.run"), tip = document.querySelector(".tip"), bar = document.querySelector(".bar");
  const frame = document.querySelector(".frame"), cross = svg.querySelector(".cross"), ticks = svg.querySelector("#ticks");
  const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  let from = 0, to = data.duration, cursor = null;
  const X = t => data.left + (t - from) / (to - from) * data.width;
  const T = x => from + (x - data.left) / data.width * (to - from);
  const two = n => String(n).padStart(2, "0");
  const date = t => new Date(data.start * 1000 + t);
  const dayOf = t => { const d = date(t); return `${days[d.getUTCDay()]} ${d.getUTCDate()} ${months[d.getUTCMonth()]}`; };
  const clock = (t, s) => { const d = date(t); return `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}` + (s ? `:${two(d.getUTCSeconds())}` : ""); };
  const lasting = ms => { const s = Math.floor(ms / 1000), h = Math.floor(s / 3600), m = Math.floor(s % 3600 / 60);
    return h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`; };

  function draw() {
    for (const e of svg.querySelectorAll("rect[data-a]")) {
      const a = X(+e.dataset.a), w = X(+e.dataset.b) - a;
      e.setAttribute("x", a); e.setAttribute("width", Math.max(w, +e.dataset.min || 0));
    }
    for (const e of svg.querySelectorAll("line[data-a]")) { e.setAttribute("x1", X(+e.dataset.a)); e.setAttribute("x2", X(+e.dataset.b)); }
    for (const e of svg.querySelectorAll("g[data-t]")) e.setAttribute("transform", `translate(${X(+e.dataset.t)},${e.dataset.y})`);
    for (const e of svg.querySelectorAll("path[data-points]")) {
      const points = e.dataset.points.split(" ").map(p => p.split(","));
      e.setAttribute("d", points.map(([t, y, jump]) => `${jump === "m" ? "M" : "L"}${X(+t).toFixed(2)},${y}`).join(""));
    }
    const whole = from === 0 && to === data.duration;
    bar.querySelector("span").textContent = whole ? "Click a day to look closer; move the pointer, or the arrow keys, to read a moment."
      : `${dayOf(from)} ${clock(from)} to ${dayOf(to)} ${clock(to)} (UTC)`;
    for (const b of bar.querySelectorAll("button")) b.hidden = whole;
    ticks.replaceChildren();
    if (!whole) {
      const steps = [1, 5, 10, 30, 60, 180, 360, 720].map(m => m * 60000);
      const step = steps.find(s => (to - from) / s <= 14) || 86400000;
      const origin = (data.start * 1000) % step;
      for (let t = Math.ceil((from + origin) / step) * step - origin; t < to; t += step) {
        const text = document.createElementNS(svg.namespaceURI, "text");
        text.setAttribute("x", X(t)); text.setAttribute("y", data.top - 6); text.setAttribute("class", "day"); text.textContent = clock(t);
        const line = document.createElementNS(svg.namespaceURI, "line");
        for (const [k, v] of [["x1", X(t)], ["x2", X(t)], ["y1", data.top], ["y2", data.bottom], ["class", "grid"]]) line.setAttribute(k, v);
        ticks.append(line, text);
      }
    }
    svg.querySelector("#days").style.display = whole ? "" : "none";
    point(null);
  }
  function zoom(a, b) { from = Math.max(0, a); to = Math.min(data.duration, b); if (to - from < 60000) return; draw(); }

  const within = (spans, t, slack) => spans.find(([a, b]) => t >= a - slack && t <= b + slack);
  function use(corners, t) {
    let value = null;
    for (let i = 0; i < corners.length && corners[i][0] <= t; i++) {
      const [a, g, u] = corners[i], next = corners[i + 1];
      value = next && next[1] === g && next[0] > a ? [g, u + (next[2] - u) * Math.min(1, (t - a) / (next[0] - a))] : [g, u];
    }
    return value;
  }
  function stair(corners, t) { let value = null; for (const [a, g, u] of corners) { if (a > t) break; value = [g, u]; } return value; }
  function point(t) {
    cursor = t;
    cross.style.display = tip.style.display = t === null ? "none" : "";
    tip.hidden = t === null;
    if (t === null) return;
    const x = X(t), slack = (to - from) / data.width * 2;
    cross.setAttribute("x1", x); cross.setAttribute("x2", x);
    const lines = [`${dayOf(t)} ${clock(t, to - from < 7200000)} UTC`];
    lines.push(within(data.powered, t, 0) ? "plugged in" : "unplugged");
    for (const [name, spans] of data.inputs) { const run = within(spans, t, slack); if (run) lines.push(`${name} motor runs (${lasting(run[1] - run[0])})`); }
    for (const [a, b, note] of data.outages) if (t >= a && t <= b) lines.push(note);
    if (within(data.unknown, t, 0)) lines.push("the device does not know the time");
    for (const part of data.parts) {
      const u = use(part.used, t), k = stair(part.known, t);
      if (u) lines.push(`${part.name}${u[0] > 1 ? " no. " + u[0] : ""}: used ${lasting(u[1])}` + (k && k[0] === u[0] ? `, relay knows ${lasting(k[1])}` : k ? `, relay still has no. ${k[0]}` : ", relay knows nothing yet"));
    }
    for (const [a, note] of data.marks) if (Math.abs(a - t) <= slack * 1.5) lines.push(note);
    tip.replaceChildren(...lines.slice(0, 12).map((line, i) => {
      const e = document.createElement(i ? "div" : "b"); e.textContent = line; return e;
    }));
    const box = svg.getBoundingClientRect(), outer = frame.getBoundingClientRect(), px = box.left - outer.left + x / data.total * box.width;
    tip.style.top = `${box.top - outer.top + 40}px`;
    tip.style.left = px + 420 > outer.width ? `${Math.max(4, px - 14 - tip.offsetWidth)}px` : `${px + 14}px`;
  }
  const moment = e => { const box = svg.getBoundingClientRect(), t = T((e.clientX - box.left) / box.width * data.total); return t < from || t > to ? null : t; };
  svg.addEventListener("mousemove", e => point(moment(e)));
  svg.addEventListener("mouseleave", () => point(null));
  svg.addEventListener("click", e => {
    const t = moment(e); if (t === null) return;
    const day = 86400000, origin = (data.start * 1000) % day, start = Math.floor((t + origin) / day) * day - origin;
    if (to - from > 1.01 * day) zoom(start, start + day);
    else if (to - from > 7200000) zoom(t - 1800000, t + 1800000);
  });
  svg.addEventListener("keydown", e => {
    const step = (to - from) / 300;
    if (e.key === "ArrowRight") point(Math.min(to, (cursor ?? from) + step));
    else if (e.key === "ArrowLeft") point(Math.max(from, (cursor ?? to) - step));
    else if (e.key === "Escape") zoom(0, data.duration); else return;
    e.preventDefault();
  });
  bar.querySelector(".whole").addEventListener("click", () => zoom(0, data.duration));
  for (const [name, sign] of [[".before", -1], [".after", 1]]) bar.querySelector(name).addEventListener("click", () => {
    const wide = to - from, a = Math.max(0, Math.min(data.duration - wide, from + sign * wide)); zoom(a, a + wide);
  });
  bar.hidden = false;
  draw();
})();
