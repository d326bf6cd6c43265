import { expect, it } from 'vitest'

import { median, percentile, sortedTogether } from './summary.ts'

it('finds the middle, whatever the order', () => {
  expect(median([30, 1, 20])).toBe(20)
  expect(median([4, 100, 1, 3])).toBe(3.5)
  expect(median([10, 9])).toBe(9.5)
})

it('finds percentiles over all runs together', () => {
  const sorted = sortedTogether([Float64Array.from([10, 2, 8, 4, 6]), Float64Array.from([1, 9, 7, 3, 5])])

  expect([...sorted]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  expect(percentile(sorted, 50)).toBe(5)
  expect(percentile(sorted, 95)).toBe(10)
  expect(percentile(sorted, 90)).toBe(9)
  expect(percentile(sorted, 100)).toBe(10)
  expect(percentile(sorted.subarray(0, 1), 1)).toBe(1)
})
