// A small picture of what a wall shows, for the page where admins see all screens.

import { picture, pixels } from "../picture.js"

const WIDTH = 640

/** Draw the stage small and send it. */
export async function sent(stage) {
  const drawing = await picture(stage)
  const bitmap = await createImageBitmap(await pixels(drawing, WIDTH / drawing.width))
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height)
  canvas.getContext("2d").drawImage(bitmap, 0, 0)
  bitmap.close()
  await fetch("/api/wall/picture", { method: "PUT", body: await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 }) })
}
