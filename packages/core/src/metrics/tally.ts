/** Counts per sale and outcome, in memory; whoever scrapes reads them. */
export interface Tally<Outcome extends string> {
  /** One addition. A sale that nobody has proved to exist is counted as `other`. */
  count(saleId: number | undefined, outcome: Outcome, isKnown?: boolean): void
  read(): { sale: string; outcome: Outcome; value: number }[]
}

/** A label value costs memory here and in Prometheus for as long as both live. */
const SALES_MAX = 500
const OTHER = 0

export function createTally<Outcome extends string>(outcomes: readonly Outcome[]): Tally<Outcome> {
  const zeros = Object.fromEntries(outcomes.map((outcome) => [outcome, 0])) as Record<Outcome, number>
  const bySale = new Map<number, Record<Outcome, number>>([[OTHER, { ...zeros }]])

  function rowOf(saleId: number | undefined, isKnown: boolean): Record<Outcome, number> {
    const row = saleId === undefined ? undefined : bySale.get(saleId)
    if (row) return row
    if (saleId === undefined || !isKnown || bySale.size > SALES_MAX)
      return bySale.get(OTHER) as Record<Outcome, number>
    const added = { ...zeros }
    bySale.set(saleId, added)
    return added
  }

  return {
    count(saleId, outcome, isKnown = true) {
      rowOf(saleId, isKnown)[outcome] += 1
    },
    read: () =>
      [...bySale].flatMap(([saleId, row]) =>
        outcomes.map((outcome) => ({
          sale: saleId === OTHER ? 'other' : String(saleId),
          outcome,
          value: row[outcome],
        })),
      ),
  }
}
