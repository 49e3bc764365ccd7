// Elements made and brought up to date. What is already there stays: only what differs is changed,
// so that a button keeps the focus and a text its selection while values come each second.
export const $ = (id) => document.getElementById(id);

// Texts become text, never markup: what a station file or a device says cannot be a script.
export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// A word that is too long for its place may be broken, no other: a name folded letter by letter tells nothing.
export const folded = (className, text) => (/\S{21}/.test(text) ? `${className} long`.trim() : className);

export const shownUnit = (unit) => unit.replace("degC", "°C").replace("Ohm", "Ω");

export function fill(parent, ...nodes) {
  while (parent.childNodes.length > nodes.length) parent.lastChild.remove();
  nodes.forEach((node, index) => {
    const old = parent.childNodes[index];
    if (old) become(old, node);
    else parent.append(node);
  });
}

function become(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return undefined;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  return fill(old, ...fresh.childNodes);
}
