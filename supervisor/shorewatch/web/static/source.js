// The connection to the gateway's stream of events, made anew for as long as it is wanted.
import { LOST_S } from "./snapshot.js";

const RETRY_S_MIN = 1;
const RETRY_S_MAX = 15;

// An HTTP error (503: too many viewers) ends an EventSource for good, and a connection that died
// without a word is never noticed by it: so it is made anew here, later each time.
export function source(hear) {
  let events = null;
  let retry = null;
  let retryS = RETRY_S_MIN;

  function connect() {
    events?.close();
    events = new EventSource("/api/v1/stream");
    for (const kind of ["whole", "part"]) events.addEventListener(kind, ({ data }) => pass(kind, data));
    events.onerror = () => {
      events.close();
      connectIn(retryS);
    };
    retryS = Math.min(2 * retryS, RETRY_S_MAX);
    connectIn(LOST_S + retryS);
  }

  function connectIn(seconds) {
    clearTimeout(retry);
    retry = setTimeout(connect, seconds * 1000);
  }

  function pass(kind, data) {
    retryS = RETRY_S_MIN;
    connectIn(LOST_S);
    hear(kind, JSON.parse(data));
  }

  function open() {
    if (!events) connect();
  }

  function close() {
    clearTimeout(retry);
    events?.close();
    events = null;
  }

  return { open, close };
}
