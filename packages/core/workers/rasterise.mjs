// @ts-check
import { parentPort } from 'node:worker_threads'

import { Resvg } from '@resvg/resvg-js'

/*
 * Makes PNGs of SVGs. The library's own asynchronous call would only paint beside the event loop: compressing, which
 * takes twice as long, it does where it is called. See src/gate/draw-captcha.ts, which starts it.
 */
parentPort?.on('message', ({ id, svg, pixelsPerPx }) => {
  try {
    const image = new Resvg(svg, {
      // The system's fonts would take four times as long to look through as the drawing.
      font: { loadSystemFonts: false },
      background: '#ffffff',
      fitTo: { mode: 'zoom', value: pixelsPerPx },
    }).render()
    parentPort?.postMessage({ id, result: image.asPng() })
  } catch (error) {
    parentPort?.postMessage({ id, error })
  }
})
