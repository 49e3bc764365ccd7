// The cable: both ends as they feed it, what stands, and the picture of its potentials.
import { make } from "./dom.js";
import { card, since } from "./part.js";
import { t } from "./text.js";

const PICTURE_S = 30;

// A new picture when something else stands, and now and then for the voltages.
const version = (watch) =>
  encodeURIComponent(`${Math.floor(Date.parse(watch.at ?? watch.since) / 1000 / PICTURE_S)} ${watch.standing.map(({ text }) => text)}`);

function endCard({ name, volts, amps }) {
  if (volts === null) return card(name, `? ${t("card.unknown")}`, "is-warn", t("cable.end.unknown"));
  return card(name, `${volts.toFixed(1)} V`, "", `${amps.toFixed(4)} A`);
}

function lineCard(watch) {
  const signed = (value, digits) => `${value > 0 ? "+" : ""}${value.toFixed(digits)}`;
  const facts = watch.balance_v === null
    ? `${watch.length_km} km`
    : t("cable.facts", {
      length: watch.length_km, balance: signed(watch.balance_v, 1), sum: watch.sum_v.toFixed(1), leak: signed(watch.leak_a * 1000, 1),
    });
  const faults = watch.standing.map(({ text, since: at }) => `${text}, ${since(at)}`);
  if (faults.length) return card(watch.name, `✕ ${t("card.fault")}`, "is-bad", ...faults, ...(watch.trouble ? [`? ${watch.trouble}`] : []), facts);
  if (watch.trouble) return card(watch.name, `? ${t("cable.unjudged")}`, "is-warn", `${watch.trouble}, ${since(watch.since)}`, facts);
  return card(watch.name, t("cable.sound"), "", t("cable.sound.since", { since: since(watch.since) }), facts);
}

export function cable(watch) {
  const narrow = make("source");
  narrow.media = "(max-width: 40rem)";
  narrow.srcset = `/cable.svg?narrow&${version(watch)}`;
  const picture = make("img", "cable");
  picture.src = `/cable.svg?${version(watch)}`;
  picture.alt = watch.standing.map(({ text }) => text).join("; ") || t("cable.picture");
  picture.width = 960;
  picture.height = 440;
  const ends = Object.values(watch.ends).map(endCard);
  return [make("div", "ends", ends[0], lineCard(watch), ends[1]), make("div", "scroll", make("picture", "", narrow, picture))];
}
