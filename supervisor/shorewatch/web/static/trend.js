// Trends: what points did, each unit with an axis of its own, all over one axis of time in UTC. The line
// is the mean, the band around it lowest and highest; where nothing was recorded or the value was bad
// there is no line. Zooming asks the gateway again, so that it is as fine as it was recorded.
import { ask } from "./ask.js";
import { $, fill, make, shownUnit } from "./dom.js";
import { look } from "./part.js";
import { follow } from "./stream.js";
import { t } from "./text.js";
import { judge, mourn } from "./verdict.js";

const SPANS = { "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "90d": 7776000 };
const POINTS_MAX = 8;
const ON_LIGHT = ["#1d5fa8", "#8a4b08", "#2b7a3d", "#7a3b8f", "#a3161a", "#00707a", "#5a5a00", "#444c52"];
const ON_DARK = ["#7db4f0", "#e0a060", "#7fcf92", "#cf9be0", "#ff9a94", "#5fc7d0", "#c9c95a", "#b5bec4"];
const FINE = 600;
const AGAIN_S = 30;

const wanted = new URLSearchParams(location.search);
let chosen = (wanted.get("points") ?? "").split(",").filter(Boolean).slice(0, POINTS_MAX);
let spanS = Number(wanted.get("span")) || 86400;
let offered = null; // the configuration whose points can be chosen
let fixed = null; // [from, to] in ms after a zoom, until a span is chosen

// No button that would send anything anywhere.
const BAR = {
  responsive: true, displaylogo: false,
  modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
};

const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (index) => (dark.matches ? ON_DARK : ON_LIGHT)[index];

function button(text, click, isMain = false) {
  const node = make("button", isMain ? "main" : "", text);
  node.type = "button";
  node.addEventListener("click", click);
  return node;
}

function range() {
  const now = Date.now();
  return fixed ?? [now - spanS * 1000, now];
}

const utc = (ms) => new Date(ms).toISOString();
const minute = (ms) => utc(ms).slice(0, 16).replace("T", " ");
const query = (point, [from, to], points) =>
  new URLSearchParams({ point, from: utc(from), to: utc(to), points }).toString();

function say(text, isBad = false) {
  $("span-said").textContent = isBad ? `✕ ${text}` : text;
  $("span-said").className = isBad ? "is-bad word" : "";
}

// A span is a step: it holds from its begin to its end. Plotly shows times as they are written: UTC.
function traces(reply, ink, axis) {
  const x = [], mean = [], low = [], high = [];
  const add = (at, span) => {
    x.push(at.replace("Z", ""));
    mean.push(span.mean);
    low.push(span.low);
    high.push(span.high);
  };
  for (const span of reply.spans) {
    add(span.from, span);
    add(span.to, span);
  }
  const numbers = mean.map((value) => (typeof value === "boolean" ? Number(value) : value));
  const base = { x, yaxis: axis, mode: "lines", line: { color: ink, width: 1.6, shape: "linear" }, connectgaps: false };
  const band = { ...base, line: { width: 0 }, hoverinfo: "skip", showlegend: false };
  const unit = shownUnit(reply.unit);
  const name = `${reply.point}${unit ? ` (${unit})` : ""}`;
  return [
    { ...band, y: low },
    { ...band, y: high, fill: "tonexty", fillcolor: `${ink}33` },
    { ...base, y: numbers, name, hovertemplate: `%{y:.6g} ${unit}` },
  ];
}

function layout(units) {
  const style = getComputedStyle(document.body);
  const ink = style.color;
  const [grid, soft] = ["--line", "--soft"].map((name) => style.getPropertyValue(name));
  const found = {
    height: Math.max(320, 240 * units.length), margin: { l: 70, r: 15, t: 35, b: 62 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: style.fontFamily, size: 12 },
    hovermode: "x unified", hoverlabel: { bgcolor: style.backgroundColor },
    showlegend: false, // the buttons above have the lines' colours
    modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
    xaxis: {
      type: "date", range: range().map((ms) => utc(ms).replace("Z", "")), gridcolor: grid, title: { text: "UTC" },
      tickangle: 0, nticks: Math.max(3, Math.floor($("chart").clientWidth / 90)),
      showspikes: true, spikemode: "across", spikethickness: 1, spikecolor: ink, anchor: "free", position: 0,
    },
  };
  units.forEach((unit, index) => {
    const key = index ? `yaxis${index + 1}` : "yaxis";
    const top = 1 - index / units.length;
    found[key] = { title: { text: shownUnit(unit) }, domain: [top - 0.92 / units.length, top], gridcolor: grid, zeroline: false };
  });
  return found;
}

async function draw() {
  history.replaceState(null, "", `?${new URLSearchParams({ points: chosen.join(","), span: spanS })}`);
  choices();
  if (!chosen.length) {
    say(t("trend.choose"));
    Plotly.purge($("chart"));
    return;
  }
  try {
    const shown = range();
    const replies = await Promise.all(chosen.map((point) => ask(`/api/v1/history?${query(point, shown, FINE)}`)));
    const units = [...new Set(replies.map((reply) => reply.unit))];
    const lines = replies.flatMap((reply, index) => {
      const axis = units.indexOf(reply.unit);
      return traces(reply, colour(index), axis ? `y${axis + 1}` : "y");
    });
    await Plotly.react($("chart"), lines, layout(units), BAR);
    const sick = replies.find((reply) => reply.health);
    say(sick ? sick.health : t("trend.shown", { from: minute(shown[0]), to: minute(shown[1]) }), Boolean(sick));
  } catch (error) {
    say(error.message, true);
  }
}

function choices() {
  fill($("spans"), ...Object.entries(SPANS).map(([name, seconds]) => {
    const node = make("button", !fixed && seconds === spanS ? "main" : "", t(`reach.${name}`));
    node.type = "button";
    node.dataset.span = seconds;
    node.setAttribute("aria-pressed", String(!fixed && seconds === spanS));
    return node;
  }));
  $("chosen").replaceChildren(...chosen.map((point, index) => {
    const node = button(`${point} ×`, () => { chosen = chosen.filter((other) => other !== point); draw(); });
    node.style.borderLeft = `.5rem solid ${colour(index)}`;
    node.setAttribute("aria-label", t("trend.remove", { point }));
    return node;
  }));
  const shown = range();
  $("files").replaceChildren(...chosen.flatMap((point) => {
    const link = make("a", "", `${point}.csv`);
    link.href = `/api/v1/history.csv?${query(point, shown, 5000)}`;
    link.download = `${point}.csv`;
    return [link, " "];
  }));
}

function zoomed(change) {
  const [from, to] = ["xaxis.range[0]", "xaxis.range[1]"].map((key) => change[key]);
  if (from && to) fixed = [from, to].map((text) => Date.parse(`${text.replace(" ", "T")}Z`));
  else if (change["xaxis.autorange"]) fixed = null;
  else return;
  draw();
}

function show(s) {
  look(s);
  judge(s);
  if (offered === s.config) return;
  offered = s.config;
  document.title = `${t("nav.trends")} · ${s.name} · Shorewatch`;
  const options = Object.values(s.devices).flatMap(({ points }) => points).map(({ source, name, unit }) => {
    const option = make("option", "", `${name} (${unit || t("trend.unitless")})`);
    option.value = source;
    return option;
  });
  $("points").replaceChildren(...options);
}

async function begin() {
  follow(show, mourn);
  $("choice").addEventListener("submit", (event) => {
    event.preventDefault();
    const point = $("point").value.trim();
    if (!point || chosen.includes(point)) return;
    if (chosen.length >= POINTS_MAX) return say(t("trend.full", { count: POINTS_MAX }), true);
    chosen.push(point);
    $("point").value = "";
    return draw();
  });
  $("spans").addEventListener("click", ({ target }) => {
    if (!target.dataset.span) return;
    [spanS, fixed] = [Number(target.dataset.span), null];
    draw();
  });
  await draw();
  $("chart").on?.("plotly_relayout", zoomed);
  dark.addEventListener("change", draw);
  setInterval(() => { if (!document.hidden && !fixed && chosen.length) draw(); }, AGAIN_S * 1000);
}

begin();
