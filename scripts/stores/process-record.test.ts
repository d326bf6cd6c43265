import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, afterEach, expect, it } from 'vitest'

import { identify } from '../process-identity.mjs'
import { createProcessRecord, endRecorded, killRecorded } from './process-record.ts'

const folder = mkdtempSync(join(tmpdir(), 'process-record-'))
const file = join(folder, 'test.running.json')
const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})
afterAll(() => rmSync(folder, { recursive: true }))

/** A process that would live for a minute; deaf ones ignore a SIGTERM. */
async function spawnSleeper({ deaf = false } = {}): Promise<number> {
  const script = `${deaf ? "process.on('SIGTERM', () => {});" : ''} process.stdout.write('up'); setTimeout(() => {}, 60_000)`
  const child = spawn(process.execPath, ['-e', script], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  children.push(child)
  await new Promise((resolve) => child.stdout?.once('data', resolve))
  return child.pid as number
}

it('finds what a killed starter had started', async () => {
  const pid = await spawnSleeper()
  createProcessRecord(file).add('sleeper', pid)

  const found = createProcessRecord(file)

  expect(found.alive('sleeper')).toBe(pid)
  await endRecorded(found, 'sleeper', 5000)
  expect(identify(pid)).toBeUndefined()
})

it('never ends a process that was given the pid of a recorded one', async () => {
  const pid = await spawnSleeper()
  createProcessRecord(file).add('sleeper', pid)
  const earlier = readFileSync(file, 'utf8').replace(/"identity": "[^"]*"/, '"identity": "earlier"')
  writeFileSync(file, earlier)

  const record = createProcessRecord(file)
  await endRecorded(record, 'sleeper', 100)
  killRecorded(createProcessRecord(file))

  expect(identify(pid)).toBeDefined()
})

it('ends a process that ignores a SIGTERM when its time is over', async () => {
  const pid = await spawnSleeper({ deaf: true })
  const record = createProcessRecord(file)
  record.add('sleeper', pid)

  await endRecorded(record, 'sleeper', 100)

  expect(identify(pid)).toBeUndefined()
  expect(record.names()).toEqual([])
})
