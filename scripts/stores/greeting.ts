import { connect } from 'node:net'

/**
 * Says something to a port and looks at the first answer: how a store is asked whether it is ready, without a
 * client library (this runs before the dependencies matter).
 */
export function answers(
  port: number,
  hello: string | Buffer,
  isAnswer: (received: Buffer) => boolean,
  timeoutMs = 1000,
): Promise<boolean> {
  return new Promise((resolve) => {
    let received = Buffer.alloc(0)
    const socket = connect({ port, host: '127.0.0.1' })
    const finish = (answered: boolean) => {
      socket.destroy()
      resolve(answered)
    }
    socket.setTimeout(timeoutMs, () => finish(false))
    socket.on('error', () => finish(false))
    socket.on('close', () => finish(false))
    socket.on('connect', () => hello.length > 0 && socket.write(hello))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (isAnswer(received)) finish(true)
    })
  })
}
