import { mysqlCode } from '@blitzbuy/core/mysql/connect-mysql'

import type { Buy, Textbook } from './textbook.ts'

const QUEUE = 'textbook:orders'
const PREFETCH = 64
const TAKE = `
  if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 then return 1 end
  if tonumber(redis.call('GET', KEYS[1]) or 0) <= 0 then return 0 end
  redis.call('DECR', KEYS[1])
  redis.call('SADD', KEYS[2], ARGV[1])
  return 1`

/** Redis decides for each request, a confirmed message carries each order, and each order is a transaction. */
export async function createBuyByMessage({ mysql, redis, rabbitmq }: Textbook): Promise<Buy> {
  const publisher = await rabbitmq.createConfirmChannel()
  await publisher.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  const consumer = await rabbitmq.createChannel()
  await consumer.prefetch(PREFETCH)
  await consumer.consume(QUEUE, (message) => {
    if (!message) return
    // Acknowledged when the row stands; else it comes again.
    place(String(message.content)).then(
      () => consumer.ack(message),
      () => consumer.nack(message),
    )
  })

  async function place(content: string): Promise<void> {
    const { saleId, buyer } = JSON.parse(content) as { saleId: number; buyer: string }
    try {
      await mysql.query('INSERT INTO textbook_orders (sale_id, buyer) VALUES (?, ?)', [saleId, buyer])
    } catch (error) {
      // It stands already: its acknowledgement was lost.
      if (mysqlCode(error) !== 'ER_DUP_ENTRY') throw error
    }
  }

  return async (saleId, buyer) => {
    const keys = [`stock:${saleId}`, `buyers:${saleId}`]
    if ((await redis.eval(TAKE, keys.length, ...keys, buyer)) !== 1) return false
    const message = Buffer.from(JSON.stringify({ saleId, buyer }))
    await new Promise<void>((resolve, reject) => {
      publisher.sendToQueue(QUEUE, message, { persistent: true }, (error) =>
        error ? reject(error as Error) : resolve(),
      )
    })
    return true
  }
}
