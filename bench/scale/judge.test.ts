import { expect, it } from 'vitest'

import { judge } from './judge.ts'

const costs = (...cpuUs: number[]) => judge(cpuUs.map((one, at) => ({ point: 10 ** at, cpuUs: one })))

it('calls a cost flat that is nowhere more than a tenth from the middle', () => {
  expect(costs(100, 110, 121)).toMatchObject({ isFlat: true, leastAt: 1, mostAt: 100 })
  expect(costs(91, 109)).toMatchObject({ isFlat: true })
  expect(costs(100, 130)).toMatchObject({ isFlat: false, mostAt: 10 })
  expect(costs(130, 100)).toMatchObject({ isFlat: false, mostAt: 1 })
})

it('calls nothing flat that could not be measured', () => {
  expect(costs(Number.NaN, 100).isFlat).toBe(false)
})
