// A small picture of what a wall shows, for the page where admins see all screens.

const WIDTH = 480

/** Draw the stage small and send it. */
export async function picture(stage) {
  const { drawn } = await import("../picture.js")
  const canvas = await drawn(stage, { width: WIDTH })
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.8))
  if (blob) await fetch("/api/wall/picture", { method: "PUT", body: blob })
}
