// The words of the page by key, in the language that the station file names. What stands there as texts.js
// is made by the gateway (web/asset.py) of its table.
import { LANGUAGE, TEXTS } from "./texts.js";

const forms = new Intl.PluralRules(LANGUAGE);

// The text of a key with its places filled; of one that counts, the form for `values.count`.
export function t(key, values = {}) {
  const found = TEXTS[key];
  const text = typeof found === "string" ? found : found[forms.select(values.count)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (_, place) => values[place]);
}

// A word of the gateway for a state, a reason and the like; one that has no text stands as it is.
export const named = (kind, word) => TEXTS[`${kind}.${word}`] ?? word;
