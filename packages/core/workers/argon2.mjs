// @ts-check
import { platform, setPriority } from 'node:os'
import { parentPort } from 'node:worker_threads'

import { hashSync, verifySync } from '@node-rs/argon2'

/*
 * Hashes passwords on a thread of low priority: on a busy machine a purchase gets the core at once, and the hash
 * a tenth of it. See src/user/hash-workers.ts, which starts it.
 */

/** Not 19, the lowest: there a login would wait for minutes while all cores are busy. */
const NICE = 10
// On Linux a thread has a priority of its own. Elsewhere this would slow down the whole process.
if (platform() === 'linux') setPriority(0, NICE)

parentPort?.on('message', ({ id, passwordHash, password, options }) => {
  try {
    const result =
      passwordHash === undefined ? hashSync(password, options) : verifySync(passwordHash, password)
    parentPort?.postMessage({ id, result })
  } catch (error) {
    parentPort?.postMessage({ id, error })
  }
})
