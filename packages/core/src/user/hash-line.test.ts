import { describe, expect, it } from 'vitest'

import { createHashLine, type PlaceInLine } from './hash-line.ts'

const later = () => new Promise<void>((resolve) => setTimeout(resolve, 2))

describe('the line in front of the hashes', () => {
  it('lets one work at a time, in the order in which they came', async () => {
    const line = createHashLine({ atOnce: 1, waitingMax: 100 })
    let working = 0
    let workingMost = 0
    const done: number[] = []
    await Promise.all(
      Array.from({ length: 20 }, async (_, at) => {
        const place = line.join() as PlaceInLine
        await place.inTurn(async () => {
          working += 1
          workingMost = Math.max(workingMost, working)
          await later()
          working -= 1
          done.push(at)
        })
        place.leave()
      }),
    )
    expect(workingMost).toBe(1)
    expect(done).toEqual(done.toSorted((a, b) => a - b))
  })

  it('is bounded: who comes when it is full is sent away at once, and may come back when somebody left', () => {
    const line = createHashLine({ atOnce: 1, waitingMax: 2 })
    const places = [line.join(), line.join(), line.join()] as PlaceInLine[]
    expect(line.join()).toEqual({ kind: 'overloaded', retryAfterMs: expect.any(Number) })
    places[0]?.leave()
    places[0]?.leave()
    expect(line.join()).toHaveProperty('inTurn')
    expect(line.join()).toHaveProperty('kind', 'overloaded')
  })

  it('goes on after a hash that failed', async () => {
    const line = createHashLine({ atOnce: 1, waitingMax: 2 })
    const place = line.join() as PlaceInLine
    await expect(place.inTurn(() => Promise.reject(new Error('no memory')))).rejects.toThrow('no memory')
    expect(await place.inTurn(() => Promise.resolve('hashed'))).toBe('hashed')
  })
})
