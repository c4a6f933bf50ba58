// The camera: opening, switching, and frames of what is seen on the screen.
const LARGEST = 1280; // pixels on a side; the model reads far fewer

export class Camera {
  constructor(video, onLost) {
    this.video = video;
    this.onLost = onLost;
    this.facing = "environment";
  }

  get isOpen() {
    return Boolean(this.video.srcObject);
  }

  // Returns "" once the camera runs, otherwise the name of the word that says why it can't.
  async open() {
    this.close();
    if (!navigator.mediaDevices) return "camera_insecure";
    try {
      const wanted = { facingMode: this.facing, width: { ideal: 1280 }, height: { ideal: 960 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video: wanted });
      const [track] = stream.getVideoTracks();
      track.addEventListener("ended", () => { this.close(); this.onLost(); });
      this.video.classList.toggle("mirrored", track.getSettings().facingMode === "user");
      this.video.srcObject = stream;
      await this.video.play();
      return "";
    } catch (error) {
      this.close();
      const names = {
        NotAllowedError: "camera_denied", NotFoundError: "camera_none", OverconstrainedError: "camera_none", NotReadableError: "camera_in_use",
      };
      return names[error.name] ?? "camera_failed";
    }
  }

  close() {
    for (const track of this.video.srcObject?.getTracks() ?? []) track.stop();
    this.video.srcObject = null;
  }

  async switch() {
    this.facing = this.facing === "user" ? "environment" : "user";
    return this.open();
  }

  async count() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter((device) => device.kind === "videoinput").length;
  }

  // The part of the frame that the screen shows: the video fills its box, so its edges are cut off.
  frame() {
    const { videoWidth, videoHeight, clientWidth, clientHeight } = this.video;
    const scale = Math.max(clientWidth / videoWidth, clientHeight / videoHeight);
    const width = clientWidth / scale, height = clientHeight / scale;
    return drawn(this.video, (videoWidth - width) / 2, (videoHeight - height) / 2, width, height);
  }
}

// A rectangle of a picture as a canvas of at most LARGEST pixels on a side.
export function drawn(source, x, y, width, height) {
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, x, y, width, height, 0, 0, canvas.width, canvas.height);
  return canvas;
}

// The file as a canvas, turned as its EXIF data say; small ones keep their pixels. Rejects what isn't a picture.
export async function opened(file) {
  const bitmap = await createImageBitmap(file);
  const canvas = drawn(bitmap, 0, 0, bitmap.width, bitmap.height);
  bitmap.close();
  return canvas;
}

// Without loss where that is small, as drawings and screenshots are.
export function dataUrl(canvas, lossless) {
  return lossless && canvas.width * canvas.height <= 1e6 ? canvas.toDataURL("image/png") : canvas.toDataURL("image/jpeg", 0.92);
}
