import { describe, expect, it } from 'vitest'

import { StoreAway } from '../errors.ts'
import { gatherReads } from './gather-reads.ts'

/** A read that ends when it is told to. */
function createReads() {
  const reads: { keys: string[]; end: (values?: Record<string, string>) => void; fail: () => void }[] = []
  const find = gatherReads<string>(
    (keys) =>
      new Promise((resolve, reject) => {
        reads.push({
          keys,
          end: (values = {}) => resolve(new Map(Object.entries(values))),
          fail: () => reject(new Error('away')),
        })
      }),
    5_000,
  )
  return { reads, find }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

describe('reads that are gathered', () => {
  it('are one for all who ask in the same moment, each of whom gets their own answer', async () => {
    const { reads, find } = createReads()
    const asked = Promise.all([find('a'), find('b'), find('a'), find('gone')])
    await turn()
    expect(reads.map(({ keys }) => keys)).toEqual([['a', 'b', 'gone']])
    reads[0]?.end({ a: 'A', b: 'B' })
    expect(await asked).toEqual(['A', 'B', 'A', undefined])
  })

  it('begin after everybody in them has asked: nobody is told what was true before', async () => {
    const { reads, find } = createReads()
    const before = [find('a')]
    await turn()
    before.push(find('a'))
    await turn()
    // Two are on their way: the third waits, however many ask.
    const after = [find('a'), find('b')]
    await turn()
    expect(reads).toHaveLength(2)
    for (const read of reads.slice(0, 2)) read.end({ a: 'old' })
    expect(await Promise.all(before)).toEqual(['old', 'old'])
    await turn()
    expect(reads[2]?.keys).toEqual(['a', 'b'])
    reads[2]?.end({ a: 'new' })
    expect(await Promise.all(after)).toEqual(['new', undefined])
  })

  it('that fail fail for those in them alone', async () => {
    const { reads, find } = createReads()
    const failing = find('a')
    await turn()
    reads[0]?.fail()
    await expect(failing).rejects.toThrow('away')
    const next = find('a')
    await turn()
    reads[1]?.end({ a: 'A' })
    expect(await next).toBe('A')
  })

  it('that do not begin in time are told of as a store that is away', async () => {
    const { find } = createReads()
    const waiting = [find('a')]
    await turn()
    waiting.push(find('b'))
    await turn()
    await expect(find('c', 20)).rejects.toBeInstanceOf(StoreAway)
  })
})
