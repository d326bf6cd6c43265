import { ConfigInvalid, StoreAway } from '@blitzbuy/core/errors'
import { Command } from 'commander'

import { StepFailed } from '../steps.mjs'
import { registerBlacklist } from './blacklist.ts'
import { registerConfig } from './config.ts'
import { registerDb } from './db.ts'
import { registerDeadLetters } from './dead-letters.ts'
import { registerDoctor } from './doctor.ts'
import { registerOrder } from './order.ts'
import { registerQueue } from './queue.ts'
import { registerSale } from './sale.ts'
import { registerShoppers } from './shoppers.ts'
import { registerUnsettled } from './unsettled.ts'
import { registerUser } from './user.ts'
import { registerVersion } from './version.ts'

/*
 * `pnpm -s blitz <command>`: what operators do from a terminal. One file a command.
 */
const blitz = new Command('blitz')
  .description('What an operator of BlitzBuy does from a terminal.')
  .usage('<command> [options]')
  .helpCommand(false)
  .addHelpText('after', '\nEach command has its own --help. Run it as `pnpm -s blitz <command>`.')

registerDoctor(blitz)
registerConfig(blitz)
registerDb(blitz)
registerSale(blitz)
registerOrder(blitz)
registerUser(blitz)
registerBlacklist(blitz)
registerDeadLetters(blitz)
registerUnsettled(blitz)
registerQueue(blitz)
registerShoppers(blitz)
registerVersion(blitz)

// A reader that has had enough (`| head`) is no fault; the command stops by itself.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})

try {
  await blitz.parseAsync()
} catch (error) {
  process.stderr.write(`blitz: ${inWords(error)}\n`)
  process.exitCode = 1
}

/** What a person can act on needs no stack; anything else is a fault of ours and shows where. */
function inWords(error: unknown): string {
  if (error instanceof ConfigInvalid || error instanceof StepFailed) return error.message
  if (error instanceof StoreAway) {
    const cause = error.cause instanceof Error ? `: ${error.cause.message || error.cause.name}` : ''
    return `${error.message}${cause}`
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
