/** An answer that is written past Fastify. */
export interface RawAnswer {
  status: number
  headers: Readonly<Record<string, string>>
  body: string
}

const REASONS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable',
}

/** As it goes to a connection that no HTTP parser has. It is the last one there. */
export function toWire({ status, headers, body }: RawAnswer): string {
  let head = `HTTP/1.1 ${status} ${REASONS[status] ?? 'Refused'}\r\n`
  for (const name in headers) head += `${name}: ${headers[name]}\r\n`
  return `${head}connection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}
