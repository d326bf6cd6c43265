import { expect, it } from 'vitest'

import { createRecentMap } from './recent-map.ts'

it('never keeps more than its size, whatever comes', () => {
  const map = createRecentMap<number, string>(100)

  for (let key = 0; key < 10_000; key += 1) map.set(key, `v${key}`)

  expect(map.size()).toBeLessThanOrEqual(100)
  expect(map.get(9_999)).toBe('v9999')
  expect(map.get(0)).toBeUndefined()
})

it('keeps what is asked for again and again, however many others come', () => {
  const map = createRecentMap<number, string>(100)
  map.set(-1, 'asked for')

  for (let key = 0; key < 10_000; key += 1) {
    map.set(key, `v${key}`)
    if (key % 40 === 0) expect(map.get(-1)).toBe('asked for')
  }
})

it('forgets what is deleted in both generations, and all at once', () => {
  const map = createRecentMap<number, string>(4)
  for (let key = 1; key <= 4; key += 1) map.set(key, `v${key}`)
  expect(map.get(1)).toBe('v1')

  map.delete(1)
  expect(map.get(1)).toBeUndefined()
  expect(map.get(3)).toBe('v3')

  map.clear()
  expect(map.get(3)).toBeUndefined()
  expect(map.size()).toBe(0)
})

it('answers the value that was set last, also when an older one is in the old generation', () => {
  const map = createRecentMap<number, string>(4)
  map.set(1, 'first')
  map.set(2, 'v2')
  map.set(3, 'v3')
  map.set(1, 'second')

  expect(map.get(1)).toBe('second')
})
