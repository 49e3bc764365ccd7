// What the gateway answers to a question: its JSON, or an error in words.
import { t } from "./text.js";

async function got(path) {
  try {
    return await fetch(path);
  } catch {
    throw new Error(t("gateway.silent"));
  }
}

export async function ask(path) {
  const reply = await got(path);
  const body = await reply.json();
  if (!reply.ok) throw new Error(body.error ?? t("gateway.answers", { status: reply.status }));
  return body;
}
