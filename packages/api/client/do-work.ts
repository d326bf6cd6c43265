/** Finds the number of a proof of work in a worker, so that the page stays alive; undefined when there is none. */
export async function doWork(workUrl: string, work: object): Promise<number | undefined> {
  const worker = new Worker(workUrl, { type: 'module' })
  const number = await new Promise<number | undefined>((resolve) => {
    worker.addEventListener('message', ({ data }: MessageEvent<{ number?: number }>) => resolve(data.number))
    worker.addEventListener('error', () => resolve(undefined))
    worker.postMessage(work)
  })
  worker.terminate()
  return number
}
