/**
 * Waits for `work`, but no longer than `deadlineMs`; then `onLate` makes the error.
 *
 * The work goes on by itself: what it did is unknown to the caller.
 */
export async function withDeadline<T>(work: Promise<T>, deadlineMs: number, onLate: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(onLate()), deadlineMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
