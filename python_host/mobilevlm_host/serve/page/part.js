// A rectangle on the picture, chosen by dragging or with the arrow keys.
const STEP = 0.05;

export class Part {
  constructor(picture, box) {
    this.picture = picture;
    this.box = box;
    this.rectangle = null; // x, y, width, height, as fractions of the picture
    picture.addEventListener("pointerdown", (event) => this.begin(event));
    picture.addEventListener("pointermove", (event) => this.drag(event));
    picture.addEventListener("pointerup", () => { this.from = null; });
    picture.addEventListener("pointercancel", () => { this.from = null; });
    box.addEventListener("keydown", (event) => this.press(event));
    new ResizeObserver(() => this.show()).observe(picture);
  }

  choose() {
    this.active = true;
    this.rectangle = [0.25, 0.25, 0.5, 0.5];
    this.show();
    this.box.focus();
  }

  end() {
    this.active = false;
    this.rectangle = this.from = null;
    this.show();
  }

  begin(event) {
    if (!this.active) return;
    event.preventDefault();
    this.picture.setPointerCapture(event.pointerId);
    this.from = this.place(event);
  }

  drag(event) {
    if (!this.from) return;
    const [x, y] = this.place(event), [left, top] = this.from;
    this.rectangle = [Math.min(x, left), Math.min(y, top), Math.max(Math.abs(x - left), 0.04), Math.max(Math.abs(y - top), 0.04)];
    this.keepInside();
  }

  press(event) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy) return;
    event.preventDefault();
    const at = event.shiftKey ? 2 : 0;
    this.rectangle[at] += dx * STEP;
    this.rectangle[at + 1] += dy * STEP;
    this.keepInside();
  }

  keepInside() {
    const [x, y, width, height] = this.rectangle;
    const wide = Math.min(Math.max(width, STEP), 1), high = Math.min(Math.max(height, STEP), 1);
    this.rectangle = [Math.min(Math.max(x, 0), 1 - wide), Math.min(Math.max(y, 0), 1 - high), wide, high];
    this.show();
  }

  // Where the picture's pixels are in its box, which it doesn't fill.
  area() {
    const { naturalWidth, naturalHeight, clientWidth, clientHeight } = this.picture;
    const scale = Math.min(clientWidth / naturalWidth, clientHeight / naturalHeight);
    const width = naturalWidth * scale, height = naturalHeight * scale;
    return { left: (clientWidth - width) / 2, top: (clientHeight - height) / 2, width, height };
  }

  place(event) {
    const { left, top, width, height } = this.area(), box = this.picture.getBoundingClientRect();
    const inside = (value) => Math.min(Math.max(value, 0), 1);
    return [inside((event.clientX - box.left - left) / width), inside((event.clientY - box.top - top) / height)];
  }

  show() {
    this.box.hidden = !this.rectangle;
    if (!this.rectangle) return;
    const { left, top, width, height } = this.area(), [x, y, wide, high] = this.rectangle;
    Object.assign(this.box.style, {
      left: `${left + x * width}px`, top: `${top + y * height}px`, width: `${wide * width}px`, height: `${high * height}px`,
    });
  }
}
