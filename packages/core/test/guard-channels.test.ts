import { once } from 'node:events'
import type { Socket } from 'node:net'

import amqplib from 'amqplib/callback_api'
import { expect, inject, it } from 'vitest'

import { guardChannels } from '../src/rabbitmq/guard-channels.ts'

function connectTo(): Promise<amqplib.Connection> {
  return new Promise((resolve, reject) =>
    amqplib.connect(inject('amqpUrl'), {}, (error: unknown, made: amqplib.Connection) =>
      error ? reject(error as Error) : resolve(made),
    ),
  )
}

it('a channel that is asked of a connection which has just closed is an error, and ends no process', async () => {
  guardChannels()
  guardChannels()
  const connection = await connectTo()
  connection.on('error', () => undefined)
  const closed = once(connection, 'close')
  connection.close()
  await closed

  for (const method of ['createChannel', 'createConfirmChannel'] as const) {
    const error = await new Promise((resolve) => connection[method]((failed: unknown) => resolve(failed)))
    expect(error).toMatchObject({ message: expect.stringContaining('closed') })
  }
})

it('a channel that is being closed when its connection breaks is an error, and nobody waits for it for ever', async () => {
  guardChannels()
  const connection = await connectTo()
  connection.on('error', () => undefined)
  const channel = await new Promise<amqplib.Channel>((resolve, reject) =>
    connection.createChannel((error: unknown, made: amqplib.Channel) =>
      error ? reject(error as Error) : resolve(made),
    ),
  )
  const closed = new Promise((resolve) => channel.close((error: unknown) => resolve(error)))
  const { stream } = (connection as unknown as { connection: { stream: Socket } }).connection
  stream.destroy(new Error('cut'))
  expect(await closed).toMatchObject({ message: expect.stringContaining('ended before') })
})

it('a channel is closed without an error by the broker’s word', async () => {
  guardChannels()
  const connection = await connectTo()
  const channel = await new Promise<amqplib.Channel>((resolve, reject) =>
    connection.createConfirmChannel((error: unknown, made: amqplib.Channel) =>
      error ? reject(error as Error) : resolve(made),
    ),
  )
  expect(await new Promise((resolve) => channel.close((error: unknown) => resolve(error)))).toBeNull()
  await new Promise((resolve) => connection.close(resolve))
})
