/** How far a cost may be from the middle of all points to be called the same. */
export const FLAT_WITHIN = 0.1

export interface Verdict {
  isFlat: boolean
  /** Shares of the middle: −0.04 is four hundredths below it. */
  least: number
  most: number
  leastAt: number
  mostAt: number
}

/** Whether a purchase costs the same at every point. */
export function judge(points: readonly { point: number; cpuUs: number }[]): Verdict {
  const sorted = points.toSorted((a, b) => a.cpuUs - b.cpuUs)
  const least = sorted[0]
  const most = sorted.at(-1)
  // Half-way between the extremes: no point may be further from it than from any other figure.
  const middle = ((least?.cpuUs ?? Number.NaN) + (most?.cpuUs ?? Number.NaN)) / 2
  const shareOf = (cpuUs = Number.NaN): number => cpuUs / middle - 1
  return {
    isFlat: shareOf(most?.cpuUs) <= FLAT_WITHIN,
    least: shareOf(least?.cpuUs),
    most: shareOf(most?.cpuUs),
    leastAt: least?.point ?? Number.NaN,
    mostAt: most?.point ?? Number.NaN,
  }
}
