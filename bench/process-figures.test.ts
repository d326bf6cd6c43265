import { expect, it } from 'vitest'

import { cpuTicks } from './process-figures.ts'

it('reads the CPU time of a process whose name looks like fields', () => {
  const stat = '4711 (node) S 1 (x) S 1 4711 4711 0 -1 4194560 9000 0 12 0 345 67 0 0 20 0 11 0 98765 1 2 3'
  expect(cpuTicks(stat)).toBe(345 + 67)
})
