import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

import { identify } from '../process-identity.mjs'
import { DOCKER_MARKER, removeDockerStores } from './docker-stores.ts'
import { createProcessRecord, endAllRecorded, killRecorded, RECORD_ENDING } from './process-record.ts'

const PREFIX = 'blitzbuy-test-'
const OWNER_FILE = 'owner'

/**
 * A folder for stores that live as long as this process.
 *
 * It is removed at the end, whatever the end is: by `remove`, at this process's exit, or, when that was a
 * `kill -9`, by the next one that asks for such a folder.
 */
export interface TemporaryFolder {
  path: string
  remove(): Promise<void>
}

export async function makeTemporaryFolder(): Promise<TemporaryFolder> {
  await removeAbandoned()
  const path = mkdtempSync(join(tmpdir(), PREFIX))
  chmodSync(path, 0o711)
  writeFileSync(join(path, OWNER_FILE), `${process.pid} ${identify(process.pid)}`)
  const atExit = () => {
    for (const record of recordsBelow(path)) killRecorded(record)
    removeContainersBelow(path)
    rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  }
  process.on('exit', atExit)
  return {
    path,
    async remove() {
      await endAllBelow(path)
      process.off('exit', atExit)
      rmSync(path, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}

async function removeAbandoned(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const path = join(tmpdir(), name)
    if (!name.startsWith(PREFIX) || !isOurs(path)) continue
    const [pid, ...identity] = ownerOf(path).split(' ')
    // Without an owner it is being made at this moment.
    if (!pid || identify(Number(pid)) === identity.join(' ')) continue
    await endAllBelow(path)
    rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** In a folder that anybody may write to, another user's list of "our" processes must not be believed. */
function isOurs(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false })
  return stat !== undefined && stat.isDirectory() && stat.uid === process.getuid?.()
}

function ownerOf(path: string): string {
  try {
    return readFileSync(join(path, OWNER_FILE), 'utf8')
  } catch {
    return ''
  }
}

/** What tests started in folders of their own inside this one too. */
async function endAllBelow(path: string): Promise<void> {
  await Promise.all(recordsBelow(path).map(endAllRecorded))
  removeContainersBelow(path)
}

function recordsBelow(path: string) {
  return filesBelow(path, (name) => name.endsWith(RECORD_ENDING)).map((file) => createProcessRecord(file))
}

function removeContainersBelow(path: string): void {
  for (const file of filesBelow(path, (name) => name === DOCKER_MARKER)) removeDockerStores(dirname(file))
}

function filesBelow(path: string, isWanted: (name: string) => boolean): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && isWanted(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}
