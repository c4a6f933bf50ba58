// What the page says, as in the apps: English and Chinese. Questions stay English, which the model was trained with.
const WORDS = {
  en: {
    welcome: "Ask about what you see",
    camera_ask: "The camera is on only while this page is open. Photos are not saved.",
    camera_allow: "Allow camera access",
    camera_denied: "Camera access is off. Turn it on in the browser’s settings for this page, or choose a photo.",
    camera_none: "This device has no camera. You can choose a photo instead.",
    camera_in_use: "Another app is using the camera.",
    camera_failed: "The camera stopped working.",
    camera_insecure: "The camera works only over HTTPS. Start the server with --self-signed, or choose a photo.",
    try_again: "Try again",
    pick_label: "Choose a photo",
    preview: "Camera preview",
    picture_label: "The picture you are asking about",
    picture_failed: "This picture can’t be used",
    new_picture: "New picture",
    photo: "Photo", live: "Live", mode: "Photo or live",
    shutter: "Take photo", switch: "Switch camera",
    live_question: "Keep answering this question:", live_start: "Start", live_end: "End live mode",
    live_waiting: "Looking…", live_age: "Seen {0} s ago",
    part: "Ask about this part", part_start: "Ask about a part", whole: "Whole picture",
    part_hint: "Drag over the part you want to ask about.",
    part_label: "The part to ask about. Arrow keys move it, with Shift they change its size.",
    conversation: "Conversation", presets: "Suggested questions", hint: "Type a question", send: "Send", stop: "Stop",
    answering: "Answering…", ended_length: "(maximum length reached)", ended_stopped: "(stopped)", ended_failed: "(failed)",
    copy: "Copy", copied: "Copied", speak: "Read aloud", speak_end: "Stop reading", details: "Details",
    stats_image: "picture {0} s", stats_seen: "picture seen before", stats_first: "first word {0} s", stats_speed: "{0} tokens/s",
    stats_context: "{0} of {1} tokens used", stats_queue: "waited {0} s",
    busy: "Other questions are waiting. Try again in a moment.",
    unreachable: "The server can’t be reached.",
    key: "Key of this server", continue: "Continue",
  },
  zh: {
    welcome: "看到什么，就问什么",
    camera_ask: "只有在打开此页面时才会使用相机，照片不会保存。",
    camera_allow: "允许使用相机",
    camera_denied: "未获得相机权限。请在浏览器的网站设置中开启，或选择一张照片。",
    camera_none: "此设备没有相机，你可以选择一张照片。",
    camera_in_use: "其他应用正在使用相机。",
    camera_failed: "相机出错了。",
    camera_insecure: "相机只能通过 HTTPS 使用。请用 --self-signed 启动服务器，或选择一张照片。",
    try_again: "重试",
    pick_label: "选择照片",
    preview: "相机预览",
    picture_label: "正在询问的图片",
    picture_failed: "这张图片无法使用",
    new_picture: "换一张",
    photo: "照片", live: "实时", mode: "照片或实时",
    shutter: "拍照", switch: "切换摄像头",
    live_question: "持续回答这个问题：", live_start: "开始", live_end: "结束实时模式",
    live_waiting: "正在观察…", live_age: "{0} 秒前的画面",
    part: "询问这一部分", part_start: "询问一部分", whole: "整张图片",
    part_hint: "在要询问的部分上拖动。",
    part_label: "要询问的部分。方向键移动，按住 Shift 改变大小。",
    conversation: "对话", presets: "推荐问题", hint: "用英文输入问题", send: "发送", stop: "停止",
    answering: "正在回答…", ended_length: "（已达到最大长度）", ended_stopped: "（已停止）", ended_failed: "（失败）",
    copy: "复制", copied: "已复制", speak: "朗读", speak_end: "停止朗读", details: "详情",
    stats_image: "图片 {0} 秒", stats_seen: "图片已看过", stats_first: "首词 {0} 秒", stats_speed: "{0} 词元/秒",
    stats_context: "已使用 {0}/{1} 个词元", stats_queue: "等待 {0} 秒",
    busy: "还有其他问题在排队，请稍后重试。",
    unreachable: "无法连接服务器。",
    key: "此服务器的密钥", continue: "继续",
  },
};
export const PRESETS = ["What is this?", "Describe the image.", "Read the text.", "What color is it?", "How many are there?"];
export const LIVE_QUESTION = "Describe the image.";

const language = navigator.language.startsWith("zh") ? "zh" : "en";

export function word(name, ...values) {
  return values.reduce((text, value, at) => text.replace(`{${at}}`, value), WORDS[language][name]);
}

export function writeWords() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = word(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) label(node, node.dataset.label);
  for (const node of document.querySelectorAll("[data-hint]")) node.placeholder = word(node.dataset.hint);
}

export function label(node, name) {
  node.setAttribute("aria-label", word(name));
  if (node.tagName === "BUTTON") node.title = word(name);
}
