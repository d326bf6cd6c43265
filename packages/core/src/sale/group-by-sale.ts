/** The same things, sale by sale, in the order in which each sale came first. */
export function groupBySale<T extends { saleId: number }>(things: readonly T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>()
  for (const thing of things) {
    const group = groups.get(thing.saleId)
    if (group) group.push(thing)
    else groups.set(thing.saleId, [thing])
  }
  return groups
}
