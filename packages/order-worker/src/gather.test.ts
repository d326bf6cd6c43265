import { setTimeout as pause } from 'node:timers/promises'

import { expect, it } from 'vitest'

import { createGatherer } from './gather.ts'

const options = { weightMax: 10, lingerMs: 0, weigh: () => 1 }

it('ends in time although a store hangs, and acknowledges nothing that is not worked off', async () => {
  const { begun, begin } = signal()
  const acknowledged: string[] = []
  const gatherer = createGatherer<string>({
    ...options,
    closeWithinMs: 20,
    work: () => {
      begin()
      return new Promise(() => undefined)
    },
  })
  gatherer.add({ message: 'hangs', ack: () => acknowledged.push('hangs') })
  await begun
  await gatherer.close()
  expect(acknowledged).toEqual([])
})

it('waits for the batch in hand when the store answers, and takes no further one', async () => {
  const { begun, begin } = signal()
  const acknowledged: string[] = []
  const gatherer = createGatherer<string>({
    ...options,
    weightMax: 1,
    work: async () => {
      begin()
      await pause(10)
    },
  })
  for (const message of ['in hand', 'later']) gatherer.add({ message, ack: () => acknowledged.push(message) })
  await begun
  await gatherer.close()
  expect(acknowledged).toEqual(['in hand'])
})

function signal(): { begun: Promise<void>; begin: () => void } {
  let begin: () => void = () => undefined
  const begun = new Promise<void>((resolve) => (begin = resolve))
  return { begun, begin }
}
