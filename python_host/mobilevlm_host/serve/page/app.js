// The page's state: the camera or a picture, the conversation about it, and live mode.
import { Camera, dataUrl, drawn, opened } from "./camera.js";
import { ask, properties, setKey } from "./chat.js";
import { Part } from "./part.js";
import { LIVE_QUESTION, PRESETS, label, word, writeWords } from "./words.js";

const MOST_TOKENS = 256, LIVE_TOKENS = 64;
const $ = (id) => document.getElementById(id);
const camera = new Camera($("preview"), () => notice("camera_failed"));
const part = new Part($("picture"), $("selection"));
let server = null; // what /props says
let picture = null; // { canvas, url, whole }: what is asked about, and the picture that it is a part of
let messages = []; // of the conversation, without the picture
let running = null; // AbortController of the answer that is being written
let live = null; // AbortController while live mode runs
let isOpening = false; // the camera

function notice(reason, action = "try_again") {
  $("notice").hidden = !reason;
  $("controls").hidden = Boolean(reason);
  if (!reason) return;
  if (live) endLive();
  $("notice-text").textContent = word(reason);
  $("notice-button").textContent = word(action);
  $("notice-button").hidden = reason === "camera_insecure" || reason === "camera_none";
}

async function openCamera() {
  if (isOpening) return;
  isOpening = true;
  notice(await camera.open());
  isOpening = false;
  if (picture || document.hidden) camera.close();
  else if (camera.isOpen) $("switch").hidden = (await camera.count()) < 2;
}

// Asks for the camera only by the button, unless it has been allowed before.
async function offerCamera() {
  let state = "prompt";
  try {
    ({ state } = await navigator.permissions.query({ name: "camera" }));
  } catch {
    // Some browsers can't tell.
  }
  if (!navigator.mediaDevices) notice("camera_insecure");
  else if (state === "granted") await openCamera();
  else notice("camera_ask", "camera_allow");
}

function screen(name) {
  document.body.dataset.screen = name;
}

function show(canvas, lossless, whole = null) {
  stop();
  if (live) endLive();
  camera.close();
  picture = { canvas, url: dataUrl(canvas, lossless), whole };
  messages = [];
  $("log").replaceChildren();
  $("picture").src = picture.url;
  $("picture").alt = word("picture_label");
  $("picture").hidden = false;
  endPart();
  screen("picture");
  suggest();
  focusQuestion();
}

// Not where a keyboard would slide over half of the screen.
function focusQuestion() {
  if (matchMedia("(pointer: fine)").matches) $("question").focus({ preventScroll: true });
}

function newPicture() {
  stop();
  speechSynthesis?.cancel();
  endPart();
  picture = null;
  $("picture").hidden = true;
  $("picture").removeAttribute("src");
  screen("camera");
  $("shutter").focus();
  return openCamera();
}

async function use(file) {
  if (!file) return;
  try {
    show(await opened(file), true);
  } catch {
    if (picture) bubble("answered problem", word("picture_failed")).setAttribute("role", "alert");
    else notice("picture_failed", "camera_allow");
  }
}

// The conversation

function bubble(kind, text) {
  const node = document.createElement("div");
  node.className = `bubble ${kind}`;
  node.textContent = text;
  $("log").append(node);
  node.scrollIntoView({ block: "nearest" });
  return node;
}

function suggest() {
  $("chips").hidden = Boolean(running || $("question").value);
}

function setRunning(controller) {
  running = controller;
  $("send").querySelector("use").setAttribute("href", running ? "#i-stop" : "#i-send");
  label($("send"), running ? "stop" : "send");
  $("log").setAttribute("aria-busy", Boolean(running));
  suggest();
}

function stop() {
  running?.abort();
}

function asked(question, history, url) {
  const [first, ...rest] = [...history, { role: "user", content: question }];
  const image = { type: "image_url", image_url: { url } };
  return [{ ...first, content: [image, { type: "text", text: first.content }] }, ...rest];
}

async function submit(question) {
  if (running || !question.trim() || !picture) return;
  const controller = new AbortController(), about = picture;
  setRunning(controller);
  $("question").value = "";
  bubble("asked", question);
  const node = bubble("answered", "");
  node.innerHTML = '<span class="waiting"></span>';
  node.firstChild.textContent = word("answering");
  let text = "", end = null;
  try {
    end = await ask(server.model_alias, asked(question, messages, about.url), MOST_TOKENS, controller.signal, (piece) => {
      text += piece;
      node.textContent = text;
      node.scrollIntoView({ block: "nearest" });
    });
  } catch (error) {
    if (error.name !== "AbortError") return failed(node, text, error);
  } finally {
    if (running === controller) setRunning(null);
  }
  if (about !== picture) return;
  if (text) messages.push({ role: "user", content: question }, { role: "assistant", content: text });
  node.textContent = text;
  if (!end || end.finish_reason === "length") {
    const note = document.createElement("span");
    note.className = "soft";
    note.textContent = ` ${word(end ? "ended_length" : "ended_stopped")}`;
    node.append(note);
  }
  below(node, text, end);
  focusQuestion();
}

function failed(node, text, error) {
  node.textContent = text ? `${text} ${word("ended_failed")}\n${reason(error)}` : reason(error);
  node.classList.add("problem");
  node.setAttribute("role", "alert");
}

function reason(error) {
  if (error instanceof TypeError) return word("unreachable");
  if (error.status === 401) askForKey();
  return error.status === 429 ? word("busy") : error.message;
}

// Under the newest answer: read aloud, copy, details.
function below(node, text, end) {
  for (const button of $("log").querySelectorAll(".below button")) button.remove();
  const row = document.createElement("div");
  row.className = "below";
  if (text && "speechSynthesis" in window) row.append(action("speak", () => speak(text, row.firstChild)));
  if (text) row.append(action("copy", (button) => copy(text, button)));
  if (end) row.append(details(end));
  node.after(row);
  row.scrollIntoView({ block: "nearest" });
}

function action(name, run) {
  const button = document.createElement("button");
  button.type = "button";
  button.innerHTML = `<svg aria-hidden="true"><use href="#i-${name}"/></svg><span></span>`;
  button.lastChild.textContent = word(name);
  button.addEventListener("click", () => run(button));
  return button;
}

function speak(text, button) {
  const say = (name) => { button.lastChild.textContent = word(name); };
  if (speechSynthesis.speaking) return speechSynthesis.cancel();
  const spoken = Object.assign(new SpeechSynthesisUtterance(text), { lang: "en", onend: () => say("speak"), onerror: () => say("speak") });
  say("speak_end");
  speechSynthesis.speak(spoken);
}

async function copy(text, button) {
  await navigator.clipboard.writeText(text);
  button.lastChild.textContent = $("status").textContent = word("copied");
}

function details({ usage, timings }) {
  const node = document.createElement("details");
  node.append(document.createElement("summary"), document.createElement("p"));
  node.firstChild.textContent = word("details");
  const seconds = (value) => value.toFixed(value < 10 ? 2 : 0);
  node.lastChild.textContent = [
    ...(timings.queue_s > 0.05 ? [word("stats_queue", seconds(timings.queue_s))] : []),
    timings.reused_image ? word("stats_seen") : word("stats_image", seconds(timings.image_encode_s)),
    word("stats_first", seconds(timings.ttft_s)),
    word("stats_speed", timings.decode_tok_s.toFixed(1)),
    word("stats_context", usage.total_tokens, server.default_generation_settings.n_ctx),
  ].join(" · ");
  return node;
}

// A part of the picture

function endPart() {
  part.end();
  document.body.classList.remove("choosing");
  $("part-bar").hidden = !picture;
  $("whole").hidden = !picture?.whole;
  $("part").lastChild.textContent = word("part_start");
}

function choosePart() {
  if (!part.rectangle) {
    document.body.classList.add("choosing");
    $("part").lastChild.textContent = word("part");
    $("whole").hidden = false;
    return part.choose();
  }
  const [x, y, width, height] = part.rectangle, { canvas } = picture;
  const [w, h] = [canvas.width, canvas.height];
  return show(drawn(canvas, x * w, y * h, width * w, height * h), true, picture.whole ?? canvas);
}

function wholePicture() {
  if (part.rectangle) endPart();
  else show(picture.whole, true);
}

// Live mode

function mode(name) {
  if (live) endLive();
  document.body.dataset.mode = name;
  $("mode-photo").setAttribute("aria-pressed", name === "photo");
  $("mode-live").setAttribute("aria-pressed", name === "live");
  $("live-question-row").hidden = name !== "live";
  $("live-answer").hidden = true;
  label($("shutter"), name === "live" ? "live_start" : "shutter");
}

function endLive() {
  live.abort();
  live = null;
  $("shutter").classList.remove("running");
  label($("shutter"), "live_start");
}

async function runLive() {
  const controller = (live = new AbortController());
  let seen = 0; // when the frame was taken that the shown answer is about
  $("shutter").classList.add("running");
  label($("shutter"), "live_end");
  $("live-answer").hidden = false;
  $("live-text").textContent = word("live_waiting");
  $("live-age").textContent = "";
  const age = setInterval(() => {
    if (seen) $("live-age").textContent = word("live_age", Math.round((performance.now() - seen) / 1000));
  }, 250);
  while (live === controller && camera.isOpen) {
    const taken = performance.now(), url = dataUrl(camera.frame(), false);
    const question = $("live-question").value.trim() || LIVE_QUESTION;
    let text = "";
    try {
      await ask(server.model_alias, asked(question, [], url), LIVE_TOKENS, controller.signal, (piece) => { text += piece; });
      $("live-text").textContent = text;
      seen = taken;
    } catch (error) {
      if (error.name === "AbortError") break;
      $("live-text").textContent = reason(error);
      if (error.status !== 429) break;
      await new Promise((resume) => setTimeout(resume, 1000));
    }
  }
  clearInterval(age);
  if (live === controller) endLive();
}

// The server

async function meet() {
  try {
    server = await properties();
    if (!server) return askForKey();
    $("model").textContent = server.model_alias;
  } catch {
    notice("unreachable");
  }
}

function askForKey() {
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

function listen() {
  $("notice-button").addEventListener("click", async () => {
    if (!server) await meet();
    if (server) await openCamera();
  });
  $("shutter").addEventListener("click", () => {
    if (live) endLive();
    else if (camera.isOpen && server) document.body.dataset.mode === "live" ? runLive() : show(camera.frame(), false);
  });
  $("switch").addEventListener("click", async () => notice(await camera.switch()));
  $("mode-photo").addEventListener("click", () => mode("photo"));
  $("mode-live").addEventListener("click", () => mode("live"));
  for (const id of ["pick", "notice-pick"]) $(id).addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", async () => {
    await use($("file").files[0]);
    $("file").value = "";
  });
  $("new-picture").addEventListener("click", newPicture);
  $("part").addEventListener("click", choosePart);
  $("whole").addEventListener("click", wholePicture);
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) stop();
    else submit($("question").value);
  });
  $("question").addEventListener("input", suggest);
  for (const question of PRESETS) {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.textContent = question;
    chip.lang = "en";
    chip.addEventListener("click", () => submit(question));
    $("chips").append(chip);
  }
  $("key-dialog").addEventListener("close", () => {
    setKey($("key").value);
    meet();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || $("key-dialog").open) return;
    if (part.rectangle) endPart();
    else if (running) stop();
    else if (live) endLive();
  });
  document.addEventListener("paste", (event) => use([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))));
  document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    use(event.dataTransfer.files[0]);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      if (live) endLive();
      camera.close();
    } else if (!picture && $("notice").hidden) openCamera();
  });
}

writeWords();
$("live-question").value = LIVE_QUESTION;
mode("photo");
listen();
await meet();
if (server) await offerCamera();
