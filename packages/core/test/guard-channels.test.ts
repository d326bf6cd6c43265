import { once } from 'node:events'

import amqplib from 'amqplib/callback_api'
import { expect, inject, it } from 'vitest'

import { guardChannels } from '../src/rabbitmq/guard-channels.ts'

it('a channel that is asked of a connection which has just closed is an error, and ends no process', async () => {
  guardChannels()
  guardChannels()
  const connection = await new Promise<amqplib.Connection>((resolve, reject) =>
    amqplib.connect(inject('amqpUrl'), {}, (error: unknown, made: amqplib.Connection) =>
      error ? reject(error as Error) : resolve(made),
    ),
  )
  connection.on('error', () => undefined)
  const closed = once(connection, 'close')
  connection.close()
  await closed

  for (const method of ['createChannel', 'createConfirmChannel'] as const) {
    const error = await new Promise((resolve) => connection[method]((failed: unknown) => resolve(failed)))
    expect(error).toMatchObject({ message: expect.stringContaining('closed') })
  }
})
