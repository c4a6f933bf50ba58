// The server's API: what is loaded, and one streamed answer.
let key = sessionStorage.getItem("key");
const given = new URLSearchParams(location.hash.slice(1)).get("key");
if (given) {
  setKey(given);
  history.replaceState(null, "", location.pathname);
}

export function setKey(value) {
  key = value;
  sessionStorage.setItem("key", value);
}

function call(path, options = {}) {
  return fetch(path, { ...options, headers: { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...options.headers } });
}

// What /props says; null if the server wants another key.
export async function properties() {
  const response = await call("/props");
  return response.status === 401 ? null : response.json();
}

// Calls onText with each piece of the answer to messages; returns finish_reason, usage and timings.
// Throws Error with the server's text and status, or AbortError.
export async function ask(model, messages, maxTokens, signal, onText) {
  const response = await call("/v1/chat/completions", {
    method: "POST",
    signal,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      model, messages, max_tokens: maxTokens, stream: true, stream_options: { include_usage: true },
    }),
  });
  if (!response.ok) {
    const { error } = await response.json();
    throw Object.assign(new Error(error.message), { status: response.status });
  }
  const end = {};
  for await (const event of events(response.body)) {
    if (event.error) throw new Error(event.error.message);
    if (event.usage) end.usage = event.usage;
    if (event.timings) end.timings = event.timings;
    const [choice] = event.choices;
    if (choice?.delta.content) onText(choice.delta.content);
    if (choice?.finish_reason) end.finish_reason = choice.finish_reason;
  }
  if (!end.finish_reason) throw new TypeError("the answer broke off");
  return end;
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const lines = text.split("\n\n");
    text = lines.pop();
    for (const line of lines) {
      const data = line.slice("data: ".length);
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}
