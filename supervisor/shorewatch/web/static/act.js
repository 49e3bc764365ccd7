// What a named user does here: log in and out, answer alarms, maintenance of the station. The gateway
// judges all of it (web/action.py) and says in words what it refuses; that is shown as it is.
import { $, make } from "./dom.js";
import { t } from "./text.js";

let session = { user: null, proof: null };
let waiting = null; // what to do after a login

// What a deed asks for first: minutes, and a text with its label.
const DEEDS = {
  shelve: { minutes: 60, label: "deed.reason" },
  "out-of-service": { label: "deed.reason" },
  note: { label: "deed.words" },
  "maintenance-begin": { minutes: 60, label: "deed.work" },
};

const FOR_STATE = {
  unacknowledged: ["acknowledge", "shelve", "out-of-service", "note"],
  acknowledged: ["shelve", "out-of-service", "note"],
  returned: ["acknowledge", "note"],
  shelved: ["unshelve", "note"],
  "out-of-service": ["in-service", "note"],
  "latched-unacknowledged": ["acknowledge", "note"],
  "latched-acknowledged": ["reset", "note"],
};

// The buttons of one alarm; a click anywhere on the page finds its deed by data-do and data-alarm.
export function deeds(alarm) {
  const row = make("div", "deeds");
  for (const verb of FOR_STATE[alarm.state] ?? []) row.append(button(verb, alarm));
  return row;
}

function button(verb, alarm) {
  const node = make("button", verb === "acknowledge" ? "main" : "", t(`deed.${verb}`));
  node.type = "button";
  node.dataset.do = verb;
  node.dataset.alarm = alarm.id;
  node.setAttribute("aria-label", `${t(`deed.${verb}`)}: ${alarm.text}`);
  return node;
}

async function call(path, body) {
  try {
    if (body.do === "support") return await download();
    const reply = await send(path, body);
    return { status: reply.status, ...(await reply.json()) };
  } catch {
    return { status: 0, error: t("deed.unanswered") };
  }
}

function say(text, isBad = false) {
  $("said").textContent = `${isBad ? "✕ " : "✓ "}${text}`;
  $("said").className = isBad ? "is-bad" : "";
  $("said").hidden = false;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { $("said").hidden = true; }, isBad ? 15000 : 6000);
}

const send = (path, body) => fetch(`/api/v1/${path}`, {
  method: "POST",
  headers: { "content-type": "application/json", "x-shorewatch-proof": session.proof ?? "" },
  body: JSON.stringify(body),
});

// The support bundle comes as a file, and is handed on as one.
async function download() {
  const reply = await send("support", {});
  if (reply.status !== 200) return { status: reply.status, ...(await reply.json()) };
  const link = make("a");
  link.href = URL.createObjectURL(await reply.blob());
  link.download = `shorewatch-support-${new Date().toISOString().slice(0, 16).replace(":", "")}.zip`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  return { status: 200 };
}

async function act(body) {
  if (!session.user) return ask(body);
  const reply = await call("do", body);
  if (reply.status === 401) {
    enter({ user: null, proof: null });
    return ask(body, reply.error);
  }
  if (reply.status !== 200) return say(reply.error, true);
  return say(`${body.alarm ?? t("station")}: ${t(`done.${body.do}`)}`);
}

// The login; `body` is done after it.
function ask(body, why = "") {
  waiting = body;
  $("login-said").textContent = why;
  $("password").value = "";
  if (!$("login").open) $("login").showModal();
  return undefined;
}

async function login(event) {
  event.preventDefault();
  const reply = await call("login", { name: $("name").value, password: $("password").value });
  if (reply.status !== 200) {
    $("login-said").textContent = `✕ ${reply.error}`;
    $("password").select();
    return;
  }
  enter(reply);
  $("login").close();
  if (waiting) act(waiting);
  waiting = null;
}

async function logout() {
  await call("logout", {});
  enter({ user: null, proof: null });
}

function enter({ user, proof }) {
  session = { user, proof };
  $("user").textContent = user ?? "";
  $("leave").hidden = !user;
  $("enter").hidden = Boolean(user);
}

// A deed that needs a reason or a time asks for them first.
function begin({ do: verb, alarm }) {
  const deed = DEEDS[verb];
  if (!deed) return act(alarm ? { do: verb, alarm } : { do: verb });
  $("deed-title").textContent = t(`deed.${verb}`);
  $("deed-alarm").textContent = alarm ?? t("station.whole");
  $("minutes").value = deed.minutes ?? "";
  $("minutes-row").hidden = !deed.minutes;
  $("minutes").required = Boolean(deed.minutes);
  $("text-label").textContent = t(deed.label);
  $("text").value = "";
  $("deed").dataset.do = verb;
  $("deed").dataset.alarm = alarm ?? "";
  return $("deed").showModal();
}

function finish(event) {
  event.preventDefault();
  const { do: verb, alarm } = $("deed").dataset;
  const body = { do: verb, text: $("text").value.trim() };
  if (alarm) body.alarm = alarm;
  if (DEEDS[verb].minutes) body.seconds = Math.round(60 * Number($("minutes").value));
  $("deed").close();
  act(body);
}

export async function start() {
  document.addEventListener("click", ({ target }) => {
    const found = target.closest("[data-do]");
    if (found && found.tagName === "BUTTON") begin(found.dataset);
  });
  $("enter").addEventListener("click", () => ask(null));
  $("leave").addEventListener("click", logout);
  $("login-form").addEventListener("submit", login);
  $("deed-form").addEventListener("submit", finish);
  for (const node of document.querySelectorAll("dialog .cancel")) {
    node.addEventListener("click", () => { waiting = null; node.closest("dialog").close(); });
  }
  try {
    enter(await (await fetch("/api/v1/session")).json());
  } catch {
    enter({ user: null, proof: null });
  }
}
