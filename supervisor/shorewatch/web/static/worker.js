// One stream for all tabs of a browser that show this station: a SharedWorker. A tab says "seen" now
// and then while it is visible, which is answered, and "gone" when it is not; while none is seen
// the gateway is not asked. One that says nothing any more has died.
import { hear, isKnown, settled, silenceS } from "./snapshot.js";
import { source } from "./source.js";

const FRESH_S = 1.5;
const SILENT_MS_MAX = 30000;
const LOOK_MS = 5000;

const tabs = new Map(); // port: when it was seen last, and whether it was told the whole
const stream = source(pass);

function pass(kind, body) {
  hear(kind, body);
  if (isKnown()) tabs.forEach((tab, port) => tell(port, tab, kind, body));
}

function tell(port, tab, kind, body) {
  port.postMessage(tab.isTold ? { kind, body } : { kind: "whole", body: settled() });
  tab.isTold = true;
}

function leave(port) {
  tabs.delete(port);
  if (!tabs.size) stream.close();
}

function see(port) {
  const tab = tabs.get(port) ?? { isTold: false };
  tab.seenAt = performance.now();
  tabs.set(port, tab);
  stream.open();
  port.postMessage({});
  // What is known is news to a tab that joins, but only if it is of this moment.
  if (!tab.isTold && isKnown() && silenceS() < FRESH_S) tell(port, tab);
}

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => (data === "seen" ? see(port) : leave(port));
};

setInterval(() => {
  for (const [port, tab] of tabs) if (performance.now() - tab.seenAt > SILENT_MS_MAX) leave(port);
}, LOOK_MS);
